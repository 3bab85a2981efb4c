// The limits that figures are divided by, measured in the same seconds as the work they are compared with: shared
// machines change speed by a factor of two within a minute, GPUs their clock, so only ratios mean something.
import { cpus, hostname } from "node:os";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { nativeAddon, type Device, type DType } from "../src/native";

interface PeakMeter {
  fmaFlops(seconds: number): number;
  bf16Flops(seconds: number): number;
  readBandwidth(bytes: number): number;
  copyBandwidth(bytes: number): number;
}

interface DeviceMeter {
  description: string;
  gemmFlops(dtype: DType, size: number, seconds: number): number;
  copyBandwidth(bytes: number): number;
}

interface BenchAddon {
  ops: { peakMeter(threads: number): PeakMeter; deviceMeter(name: string): DeviceMeter };
}

/** Rates a second. */
export interface Machine {
  readonly device: Device;
  /** What the machine is, for a result. */
  readonly name: string;
  /** Floating-point operations: on a CPU those of its units, on a GPU the product of matrices of 8192 x 8192. */
  peak(dtype: DType): number;
  /** Bytes of reading weights: on a GPU the copy rate, which counts what is read and what is written. */
  readBandwidth(): number;
  copyBandwidth(): number;
}

/** Registers at full speed for this long: enough to see the clock, short enough to stand between two steps. */
const PEAK_SECONDS = 0.02;
const READ_BYTES = 2 ** 28;

const slug = (text: string): string => text.trim().replace(/[^A-Za-z0-9]+/g, "-").toLowerCase();

/** "family 26 model 2": generations share one model name on rented machines. Empty where Linux does not tell. */
function cpuGeneration(): string {
  const path = "/proc/cpuinfo";
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const [family, model] = ["cpu family", "model"].map((key) => new RegExp(`^${key}\\s*: (\\d+)$`, "m").exec(text)?.[1]);
  return family === undefined || model === undefined ? "" : `family ${family} model ${model}`;
}

/** Names a kind of machine without naming a machine. */
function cpuName(): string {
  const parts = [cpus()[0]?.model ?? "unknown cpu", cpuGeneration(), `${cpus().length}cpu`];
  return slug(parts.filter((part) => part !== "").join(" "));
}

export class Cpu implements Machine {
  readonly device = "cpu";
  readonly name = cpuName();
  private readonly meter: PeakMeter;

  constructor(threads: number) {
    this.meter = (nativeAddon() as unknown as BenchAddon).ops.peakMeter(threads);
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

/** What is measured on a GPU; a simulated one has minutes for what takes a GPU milliseconds. */
const GPU = { size: 8192, seconds: 0.25, bytes: 2 ** 30 };
const SIMULATED = { size: 32, seconds: 0.001, bytes: 2 ** 20 };

export class Gpu implements Machine {
  readonly name: string;
  /** Device, compute capability, the library that multiplies. */
  readonly description: string;
  private readonly meter: DeviceMeter;
  private readonly work: typeof GPU;

  constructor(readonly device: Device) {
    this.meter = (nativeAddon() as unknown as BenchAddon).ops.deviceMeter(device);
    this.description = this.meter.description;
    this.name = slug(this.description.split(", ")[1] ?? device);
    this.work = device === "cuda" ? GPU : SIMULATED;
  }

  peak(dtype: DType): number {
    return this.meter.gemmFlops(dtype, this.work.size, this.work.seconds);
  }

  readBandwidth(): number {
    return this.copyBandwidth();
  }

  copyBandwidth(): number {
    return this.meter.copyBandwidth(this.work.bytes);
  }
}

export function machineOf(device: Device, threads: number): Machine {
  return device === "cpu" ? new Cpu(threads) : new Gpu(device);
}

/** Tells two machines of one kind apart in a result file, no more. */
export function machineTag(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
}
