// Taking rows of tensors apart and together, for tests of what a row may depend on.
import { tensor, type Fields, type TensorValue } from "./fields";

const widthOf = ({ shape }: TensorValue): number => shape.slice(1).reduce((product, d) => product * d, 1);

/** The chosen rows of a tensor, in the order given. */
export function rowsOf(value: TensorValue, rows: number[]): TensorValue {
  const width = widthOf(value);
  const values = new Float64Array(rows.length * width);
  rows.forEach((row, i) => values.set(value.values.subarray(row * width, (row + 1) * width), i * width));
  return { ...value, shape: [rows.length, ...value.shape.slice(1)], values };
}

/** The fields with the named tensors cut to the chosen rows. */
export function withRows(fields: Fields, names: string[], rows: number[]): Fields {
  return { ...fields, ...Object.fromEntries(names.map((name) => [name, rowsOf(tensor(fields, name), rows)])) };
}

/** Row `row` of a result whose field is `value`. */
export function resultRows(value: TensorValue, result: Float64Array | undefined, rows: number[]): Float64Array {
  return rowsOf({ ...value, values: result ?? new Float64Array() }, rows).values;
}

export const counting = (end: number): number[] => [...Array(end).keys()];

