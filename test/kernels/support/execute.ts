// Runs one op on one backend: lays every tensor in memory of its own between guard bytes, and afterwards looks whether
// anything but the outputs was written. Tensors start at addresses that only their element size divides, as rows of an
// arena do, or on request at multiples of 16, where kernels may access many elements at once.
import { bytesOf, decode, encode, storageAt, type DType, type Real, type Storage } from "./dtype";
import { isTensor, tensor, type Fields, type TensorValue } from "./fields";
import type { NativeBackend, NativeTensor } from "./backends";

const guardBytes = 64;
const guardValue = 0xa5;

interface Placed {
  name: string;
  value: TensorValue;
  dtype: DType;
  buffer: ArrayBuffer;
  storage: Storage;
  /** What the storage held before the run. */
  before: Storage;
}

const encoded = new WeakMap<TensorValue, Map<DType, Storage>>();

/** Encoding is the slow part of a run and the same fields run many times, so its result is kept. */
function encodedOnce(value: TensorValue, dtype: DType): Storage {
  const known = encoded.get(value) ?? new Map<DType, Storage>();
  const storage = known.get(dtype) ?? encode(value.values, dtype);
  encoded.set(value, known.set(dtype, storage));
  return storage;
}

function place(name: string, value: TensorValue, real: Real, aligned: boolean): Placed {
  const dtype = value.dtype === "T" ? real : value.dtype;
  const before = encodedOnce(value, dtype);
  const begin = guardBytes + (aligned ? 0 : bytesOf[dtype]);
  const buffer = new ArrayBuffer(begin + before.byteLength + guardBytes);
  new Uint8Array(buffer).fill(guardValue);
  const storage = storageAt(buffer, begin, dtype, before.length);
  storage.set(before);
  return { name, value, dtype, buffer, storage, before };
}

function brokenGuards({ name, buffer, storage }: Placed): string[] {
  const around = [
    new Uint8Array(buffer, 0, storage.byteOffset), new Uint8Array(buffer, storage.byteOffset + storage.byteLength),
  ];
  const isBroken = around.some((bytes) => bytes.some((byte) => byte !== guardValue));
  return isBroken ? [`memory around ${name} was written`] : [];
}

/** Bit for bit, so that -0 differs from 0 and NaN equals itself. */
export function sameBits(a: Storage | undefined, b: Storage | undefined): boolean {
  if (!a || !b) return false;
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

function changedInput({ name, value, storage, before }: Placed): string[] {
  return value.role !== "input" || sameBits(storage, before) ? [] : [`input ${name} was changed`];
}

export interface Outcome {
  /** Every tensor that is not an input, after the run. */
  results: Record<string, Float64Array>;
  /** What was written that should not have been; empty is right. */
  damage: string[];
}

export interface Step {
  op: string;
  fields: Fields;
}

export interface ExecuteOptions {
  /** The storage type T is run in. */
  dtype: Real;
  /** Field -> field whose memory it shares. */
  alias?: Record<string, string>;
  /** Weights to freeze before the run. */
  freeze?: string[];
  /** Ops to run before; a tensor that is the same object as one of the op is the same memory. */
  setup?: Step[];
  /** Every tensor begins at a multiple of 16 bytes. */
  aligned?: boolean;
  /** Index tensors lie where ops wrote them, not where the host reaches them. */
  resident?: boolean;
}

/** The memory of all tensors of a run, each placed once. */
class Arena {
  readonly placed = new Map<TensorValue, Placed>();

  constructor(private readonly dtype: Real, private readonly aligned: boolean) {}

  at(name: string, value: TensorValue): Placed {
    const known = this.placed.get(value) ?? place(name, value, this.dtype, this.aligned);
    this.placed.set(value, known);
    return known;
  }

  /** The fields as the addon takes them. */
  native(fields: Fields, alias: Record<string, string>): Record<string, unknown> {
    const entries = Object.entries(fields).map(([name, field]) => {
      if (!isTensor(field)) return [name, field];
      const shared = alias[name] ?? name;
      const { storage, dtype } = this.at(shared, tensor(fields, shared));
      return [name, { data: storage, dtype, shape: field.shape } satisfies NativeTensor];
    });
    return Object.fromEntries(entries);
  }
}

export function execute(backend: NativeBackend, op: string, fields: Fields, options: ExecuteOptions): Outcome {
  const { dtype, alias = {}, freeze = [], aligned = false, resident = false } = options;
  const arena = new Arena(dtype, aligned);
  for (const step of options.setup ?? []) backend.run(step.op, arena.native(step.fields, {}));
  const given = arena.native(fields, alias);
  if (freeze.length > 0) backend.freeze(freeze.map((name) => given[name] as NativeTensor));
  try {
    backend.run(op, given, resident);
  } finally {
    if (freeze.length > 0) backend.thaw();
  }
  const shared = new Set(Object.values(alias).map((name) => fields[name]));
  const all = [...arena.placed.values()];
  const damage = [...all.flatMap(brokenGuards), ...all.filter(({ value }) => !shared.has(value)).flatMap(changedInput)];
  const results: Record<string, Float64Array> = {};
  for (const [name, field] of Object.entries(fields)) {
    if (!isTensor(field) || field.role === "input") continue;
    const at = arena.at(name, tensor(fields, alias[name] ?? name));
    results[name] = decode(at.storage, at.dtype);
  }
  return { results, damage };
}

/** The same fields with the outcome written into them, as inputs of a next op. */
export function filled(fields: Fields, outcome: Outcome): Fields {
  const next: Fields = { ...fields };
  for (const [name, values] of Object.entries(outcome.results)) {
    if (name in fields) next[name] = { ...tensor(fields, name), values };
  }
  return next;
}
