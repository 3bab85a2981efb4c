// Storage types of tensors seen from JavaScript: rounding to them, and typed arrays that hold them.
export type Real = "float32" | "bfloat16";
export type DType = Real | "float64" | "int32";

export const reals: readonly Real[] = ["float32", "bfloat16"];

const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

/** The upper half of the float, rounded to nearest even. */
export function bf16Bits(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0] as number;
  if (value !== value) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function bf16Value(bits: number): number {
  asBits[0] = bits << 16;
  return asFloat[0] as number;
}

export function round(value: number, dtype: DType): number {
  if (dtype === "bfloat16") return bf16Value(bf16Bits(value));
  if (dtype !== "float32") return value;
  asFloat[0] = value;
  return asFloat[0] as number;
}

export type Storage = Float32Array | Float64Array | Uint16Array | Int32Array;

export const bytesOf: Record<DType, number> = { float32: 4, bfloat16: 2, float64: 8, int32: 4 };

/** A typed array of `length` elements at byte `offset` of a buffer. */
export function storageAt(buffer: ArrayBuffer, offset: number, dtype: DType, length: number): Storage {
  switch (dtype) {
    case "float32": return new Float32Array(buffer, offset, length);
    case "bfloat16": return new Uint16Array(buffer, offset, length);
    case "float64": return new Float64Array(buffer, offset, length);
    case "int32": return new Int32Array(buffer, offset, length);
  }
}

export function encode(values: Float64Array, dtype: DType): Storage {
  const storage = storageAt(new ArrayBuffer(values.length * bytesOf[dtype]), 0, dtype, values.length);
  if (dtype !== "bfloat16") storage.set(values);
  else for (let i = 0; i < values.length; ++i) storage[i] = bf16Bits(values[i] as number);
  return storage;
}

export function decode(storage: Storage, dtype: DType): Float64Array {
  const values = new Float64Array(storage.length);
  if (dtype !== "bfloat16") values.set(storage);
  else for (let i = 0; i < values.length; ++i) values[i] = bf16Value(storage[i] as number);
  return values;
}
