// The fields of an op as plain values, independent of the backend and of the storage type they will be run in.
import { Random } from "./random";
import { round, type DType, type Real } from "./dtype";

/**
 * input: must be unchanged afterwards. output: written whole, so it starts as NaN. accumulated: written whole by adding
 * to what is there. inout: read and written. scratch: read, then worthless.
 */
export type Role = "input" | "output" | "accumulated" | "inout" | "scratch";

export interface TensorValue {
  /** "T": the storage type the op is run in. */
  dtype: DType | "T";
  shape: number[];
  values: Float64Array;
  role: Role;
}

export type Scalar = number | boolean | bigint | number[] | ((begin: number, end: number) => void);
export type Fields = Record<string, TensorValue | Scalar>;

export function isTensor(field: TensorValue | Scalar | undefined): field is TensorValue {
  return typeof field === "object" && "shape" in field;
}

export function tensor(fields: Fields, name: string): TensorValue {
  const field = fields[name];
  if (!isTensor(field)) throw new Error(`${name} is not a tensor of this op`);
  return field;
}

const count = (shape: number[]): number => shape.reduce((product, d) => product * d, 1);

/** Makes fields with random values that the storage type T holds exactly. */
export class Maker {
  readonly random: Random;

  constructor(readonly dtype: Real, seed: number) {
    this.random = new Random(seed);
  }

  private normals(dtype: DType | "T", shape: number[], role: Role, scale = 1): TensorValue {
    const type = dtype === "T" ? this.dtype : dtype;
    const values = new Float64Array(count(shape));
    for (let i = 0; i < values.length; ++i) values[i] = round(scale * this.random.normal(), type);
    return { dtype, shape, values, role };
  }

  /** Normal(0, scale) of type T. */
  real(shape: number[], scale = 1): TensorValue {
    return this.normals("T", shape, "input", scale);
  }

  float(shape: number[], scale = 1): TensorValue {
    return this.normals("float32", shape, "input", scale);
  }

  /** A float32 gradient that is added to. */
  accumulated(shape: number[]): TensorValue {
    return this.normals("float32", shape, "accumulated");
  }

  /** A T tensor that is worked on in place. */
  inPlace(shape: number[]): TensorValue {
    return this.normals("T", shape, "inout");
  }

  output(shape: number[], dtype: DType | "T" = "T"): TensorValue {
    const blank = dtype === "int32" ? -2147483648 : NaN;
    return { dtype, shape, values: new Float64Array(count(shape)).fill(blank), role: "output" };
  }

  floats(values: ArrayLike<number>, shape = [values.length], role: Role = "input"): TensorValue {
    return { dtype: "float32", shape, values: Float64Array.from(values, Math.fround), role };
  }

  ints(values: ArrayLike<number>, shape = [values.length]): TensorValue {
    return { dtype: "int32", shape, values: Float64Array.from(values), role: "input" };
  }

  /** Integers in [0, end), the ends themselves among the first. */
  indices(length: number, end: number): TensorValue {
    return this.ints(Array.from({ length }, (_, i) => (i === 0 ? end - 1 : i === 1 ? 0 : this.random.below(end))));
  }

  /** `length` strictly increasing integers in [0, end), the last possible one among them. */
  increasing(length: number, end: number): TensorValue {
    const chosen = new Set<number>(length > 0 ? [end - 1] : []);
    while (chosen.size < length) chosen.add(this.random.below(end));
    return this.ints([...chosen].sort((a, b) => a - b));
  }
}

/** The same fields with some replaced. */
export function withFields(fields: Fields, changes: Fields): Fields {
  return { ...fields, ...changes };
}

/** A tensor as an input of the next op. */
export function asInput(value: TensorValue, values: Float64Array = value.values): TensorValue {
  return { ...value, values, role: "input" };
}
