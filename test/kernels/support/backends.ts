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
  /**
   * Runs one op at once; `fields` carry the names of the op's C++ struct. `resident`: where the backend's memory is not
   * the host's, index tensors lie in it too, as ops themselves write them.
   */
  run(op: string, fields: Record<string, unknown>, resident?: boolean): void;
  freeze(weights: NativeTensor[]): void;
  thaw(): void;
}

interface BackendOptions {
  name: string;
  threads?: number;
  isa?: string;
  /** The library's path, or "off". */
  cublaslt?: string;
  /** The file that remembers cuBLASLt's algorithms, or "off". */
  cublasltChoices?: string;
  /** Compute capability of the simulated GPU: 90, or 80 or 86 for one without Hopper's instructions. */
  compute?: number;
}

interface Ops {
  names: string[];
  backends(): string[];
  cpuIsas(): string[];
  create(options: BackendOptions): NativeBackend;
  philox(counter: number[], key: number[]): number[];
}

export const ops = (nativeAddon() as unknown as { ops: Ops }).ops;

export interface BackendUnderTest {
  label: string;
  isReference: boolean;
  /** Reads and writes 16 bytes at a time where addresses allow it, so both ways need a test. */
  isCuda: boolean;
  isBeforeHopper: boolean;
  /** cuBLASLt computes what it can, if it is found: its sums round in their own way. */
  mayUseCublaslt: boolean;
  /** A backend of so many threads; one is made for each number and kept. */
  with(threads: number): NativeBackend;
}

function underTest(name: string, variant?: string, options: Partial<BackendOptions> = {}): BackendUnderTest {
  const made = new Map<number, NativeBackend>();
  return {
    label: variant === undefined ? name : `${name}(${variant})`,
    isReference: name === "reference",
    isCuda: name.startsWith("cuda"),
    isBeforeHopper: (options.compute ?? 90) < 90,
    mayUseCublaslt: name === "cuda" && options.cublaslt !== "off",
    with(threads) {
      const backend = made.get(threads) ?? ops.create({ name, threads, ...options });
      made.set(threads, backend);
      return backend;
    },
  };
}

const allNames = ["reference", "cpu", "cuda-sim", "cuda"];
const present = ops.backends();

export const missingBackends = allNames.filter((name) => !present.includes(name));

/** All that one backend is tested as: each instruction set of the CPU, a simulated Hopper and a simulated Ampere. */
function variants(name: string): BackendUnderTest[] {
  if (name === "cpu") return ops.cpuIsas().map((isa) => underTest(name, isa, { isa }));
  if (name === "cuda-sim") return [90, 80].map((compute) => underTest(name, `sm_${compute}`, { compute }));
  return [underTest(name)];
}

export const backends: BackendUnderTest[] = allNames.filter((name) => present.includes(name)).flatMap(variants);

/** Where cuBLASLt is found it takes most products of a GPU: our own kernels for them are tested all the same. */
export const productBackends: BackendUnderTest[] = [
  ...backends, ...(present.includes("cuda") ? [underTest("cuda", "own", { cublaslt: "off" })] : []),
];

export const fastBackends = productBackends.filter((backend) => !backend.isReference);

export const reference = ops.create({ name: "reference" });
