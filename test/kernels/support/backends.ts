// The backends this build has, one entry for each instruction set of the CPU, and those it lacks by name.
// It does NOT know any op: it types the part of the addon that is there for tests and benches.
import { nativeAddon } from "../../../src/native";

export interface NativeTensor {
  data: Float32Array | Float64Array | Uint16Array | Int32Array;
  dtype: string;
  shape: number[];
}

export interface NativeBackend {
  name: string;
  description: string;
  /** Runs one op at once; `fields` carry the names of the op's C++ struct. */
  run(op: string, fields: Record<string, unknown>): void;
  freeze(weights: NativeTensor[]): void;
  thaw(): void;
}

interface Ops {
  names: string[];
  backends(): string[];
  cpuIsas(): string[];
  /** `cublaslt`: the library's path, or "off". */
  create(options: { name: string; threads?: number; isa?: string; cublaslt?: string }): NativeBackend;
  philox(counter: number[], key: number[]): number[];
}

export const ops = (nativeAddon() as unknown as { ops: Ops }).ops;

export interface BackendUnderTest {
  label: string;
  isReference: boolean;
  /** Reads and writes 16 bytes at a time where addresses allow it, so both ways need a test. */
  isCuda: boolean;
  /** A backend of so many threads; one is made for each number and kept. */
  with(threads: number): NativeBackend;
}

function underTest(name: string, isa?: string): BackendUnderTest {
  const made = new Map<number, NativeBackend>();
  return {
    label: isa === undefined ? name : `${name}(${isa})`,
    isReference: name === "reference",
    isCuda: name.startsWith("cuda"),
    with(threads) {
      const backend = made.get(threads) ?? ops.create({ name, threads, ...(isa === undefined ? {} : { isa }) });
      made.set(threads, backend);
      return backend;
    },
  };
}

const allNames = ["reference", "cpu", "cuda-sim", "cuda"];
const present = ops.backends();

export const missingBackends = allNames.filter((name) => !present.includes(name));

export const backends: BackendUnderTest[] = allNames.filter((name) => present.includes(name)).flatMap((name) =>
  name === "cpu" ? ops.cpuIsas().map((isa) => underTest(name, isa)) : [underTest(name)]);

export const fastBackends = backends.filter((backend) => !backend.isReference);

export const reference = ops.create({ name: "reference" });
