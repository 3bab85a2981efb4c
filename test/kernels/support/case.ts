// What a table of cases holds. A case makes its fields from a Maker, so that it can be run in either storage type.
import { execute, filled, type Step } from "./execute";
import { asInput, Maker, tensor, type Fields, type TensorValue } from "./fields";
import { reference } from "./backends";
import { seedOf } from "./random";
import type { Real } from "./dtype";

export interface OpCase {
  op: string;
  name: string;
  /** The longest sum behind an element of an output; 0: values are only moved. */
  terms: number;
  make(maker: Maker): Fields;
  /** Outputs that may be the memory of an input: the result must be the same bits. */
  aliases?: Record<string, string>[];
  /** Weights that may be frozen: the result must be the same bits. */
  frozen?: string[];
  /** Fields that must be the memory of another in this storage type. */
  sharing?(dtype: Real): Record<string, string>;
  /** Ops that run before, on the same tensors: those that are the same object. */
  setup?(maker: Maker, fields: Fields): Step[];
}

/** A forward op, its backward op and how one feeds the other. */
export interface GradientCase {
  forward: string;
  backward: string;
  name: string;
  terms: number;
  make(maker: Maker): Fields;
  /** The forward output that the loss sum(output * dout) is taken of. */
  output: string;
  /** The field of the backward op that is given dout. */
  dout: string;
  /** Fields of the backward op, from those of the forward op after it ran; all but `dout`. */
  back(forward: Fields, maker: Maker): Fields;
  /** Fields that other backward ops make of those above. */
  chain?(backward: Fields, dtype: Real): Fields;
  /** Forward input -> field of the backward op that receives its gradient. */
  gradients: Record<string, string>;
  /** Small enough to be differentiated element by element. */
  differences?: boolean;
  aliases?: Record<string, string>[];
}

export const makerOf = (op: string, name: string, dtype: Real): Maker => new Maker(dtype, seedOf(`${op} ${name}`));

/** Fields of the backward op; the forward results come from the reference, in the same storage type. */
export function backwardFields(gradient: GradientCase, maker: Maker): Fields {
  const fields = gradient.make(maker);
  const forward = filled(fields, execute(reference, gradient.forward, fields, { dtype: maker.dtype }));
  const output = tensor(forward, gradient.output);
  const dout = output.dtype === "T" ? maker.real(output.shape) : maker.float(output.shape);
  const inPlace = Object.values(gradient.gradients).includes(gradient.dout);
  const back: Fields = { ...gradient.back(forward, maker), [gradient.dout]: inPlace ? { ...dout, role: "inout" } : dout };
  return gradient.chain?.(back, maker.dtype) ?? back;
}

/** The forward and backward conformance cases behind a gradient case. */
export function casesOf(gradient: GradientCase): OpCase[] {
  const { name, terms, make, aliases } = gradient;
  const makeBackward = (maker: Maker): Fields => backwardFields(gradient, maker);
  const backward = { op: gradient.backward, name, terms, make: makeBackward };
  return [{ op: gradient.forward, name, terms, make }, aliases ? { ...backward, aliases } : backward];
}

/** Named fields of a forward op as inputs. */
export function inputs(fields: Fields, ...names: string[]): Record<string, TensorValue> {
  return Object.fromEntries(names.map((name) => [name, asInput(tensor(fields, name))]));
}

/** The case without some of its fields, which the op leaves out of its work then; the others keep their values. */
export function without(opCase: OpCase, ...names: string[]): OpCase {
  const make = (maker: Maker): Fields =>
    Object.fromEntries(Object.entries(opCase.make(maker)).filter(([name]) => !names.includes(name)));
  return { ...opCase, name: `${opCase.name} without ${names.join(", ")}`, make };
}
