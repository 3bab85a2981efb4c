// The machine's own limits, measured in the same seconds as the work they are compared with: shared machines change
// speed by a factor of two within a minute, so only ratios mean something.
import { cpus, hostname } from "node:os";
import { createHash } from "node:crypto";
import { nativeAddon, type DType } from "../src/native";

interface PeakMeter {
  fmaFlops(seconds: number): number;
  bf16Flops(seconds: number): number;
  readBandwidth(bytes: number): number;
  copyBandwidth(bytes: number): number;
}

interface BenchAddon {
  ops: { peakMeter(threads: number): PeakMeter };
}

/** Registers at full speed for this long: enough to see the clock, short enough to stand between two steps. */
const PEAK_SECONDS = 0.02;
const READ_BYTES = 2 ** 28;

export class Machine {
  private readonly meter: PeakMeter;
  private readonly fma: number[] = [];
  private readonly bf16: number[] = [];

  constructor(readonly threads: number) {
    this.meter = (nativeAddon() as unknown as BenchAddon).ops.peakMeter(threads);
  }

  /** Takes one sample of both arithmetic peaks. */
  calibrate(): { fma: number; bf16: number } {
    const sample = { fma: this.meter.fmaFlops(PEAK_SECONDS), bf16: this.meter.bf16Flops(PEAK_SECONDS) };
    this.fma.push(sample.fma);
    this.bf16.push(sample.bf16);
    return sample;
  }

  peak(dtype: DType): number {
    return this.meter[dtype === "float32" ? "fmaFlops" : "bf16Flops"](PEAK_SECONDS);
  }

  readBandwidth(): number {
    return this.meter.readBandwidth(READ_BYTES);
  }

  copyBandwidth(): number {
    return this.meter.copyBandwidth(READ_BYTES);
  }
}

/** Names a kind of machine without naming a machine. */
export function machineName(): string {
  const model = (cpus()[0]?.model ?? "unknown cpu").trim().replace(/[^A-Za-z0-9]+/g, "-").toLowerCase();
  return `${model}-${cpus().length}cpu`.replace(/-+/g, "-");
}

/** Tells two machines of one kind apart in a result file, no more. */
export function machineTag(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
}
