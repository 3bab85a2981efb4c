// Runs one op on one backend: lays every tensor in memory of its own between guard bytes, and afterwards looks whether
// anything but the outputs was written. Tensors start at addresses that only their element size divides, as rows of an
// arena do.
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

function place(name: string, value: TensorValue, real: Real): Placed {
  const dtype = value.dtype === "T" ? real : value.dtype;
  const before = encodedOnce(value, dtype);
  const begin = guardBytes + bytesOf[dtype];
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

export interface ExecuteOptions {
  /** The storage type T is run in. */
  dtype: Real;
  /** Field -> field whose memory it shares. */
  alias?: Record<string, string>;
  /** Weights to freeze before the run. */
  freeze?: string[];
}

export function execute(backend: NativeBackend, op: string, fields: Fields, options: ExecuteOptions): Outcome {
  const placed = new Map<string, Placed>();
  const given: Record<string, unknown> = {};
  const alias = options.alias ?? {};
  for (const [name, field] of Object.entries(fields)) {
    if (isTensor(field) && !(name in alias)) placed.set(name, place(name, field, options.dtype));
    if (!isTensor(field)) given[name] = field;
  }
  const native = (name: string): NativeTensor => {
    const at = placed.get(alias[name] ?? name);
    const shape = (fields[name] as TensorValue).shape;
    if (!at) throw new Error(`${op} has no field ${name}`);
    return { data: at.storage, dtype: at.dtype, shape };
  };
  for (const name of [...placed.keys(), ...Object.keys(alias)]) given[name] = native(name);
  if (options.freeze) backend.freeze(options.freeze.map(native));
  try {
    backend.run(op, given);
  } finally {
    if (options.freeze) backend.thaw();
  }
  const shared = new Set(Object.values(alias));
  const all = [...placed.values()];
  const damage = [...all.flatMap(brokenGuards), ...all.filter(({ name }) => !shared.has(name)).flatMap(changedInput)];
  const results: Record<string, Float64Array> = {};
  for (const [name, field] of Object.entries(fields)) {
    const at = placed.get(alias[name] ?? name);
    if (isTensor(field) && field.role !== "input" && at) results[name] = decode(at.storage, at.dtype);
  }
  return { results, damage };
}

/** The same fields with the outcome written into them, as inputs of a next op. */
export function filled(fields: Fields, outcome: Outcome): Fields {
  const next: Fields = { ...fields };
  for (const [name, values] of Object.entries(outcome.results)) next[name] = { ...tensor(fields, name), values };
  return next;
}
