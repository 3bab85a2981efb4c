// Linear layers: odd shapes, every optional operand, both output types.
import { inputs, type GradientCase, type OpCase } from "../support/case";
import type { Fields, Maker } from "../support/fields";

interface Shape {
  n: number;
  i: number;
  o: number;
}

interface Extras {
  bias?: boolean;
  residual?: boolean;
  /** Output in float32 whatever the storage type. */
  logits?: boolean;
}

const nameOf = ({ n, i, o }: Shape, extras: Extras = {}): string =>
  [`N=${n} I=${i} O=${o}`, ...Object.keys(extras)].join(" ");

function forwardFields(m: Maker, { n, i, o }: Shape, { bias, residual, logits }: Extras): Fields {
  return {
    out: m.output([n, o], logits ? "float32" : "T"), x: m.real([n, i]), weight: m.real([o, i]),
    ...(bias ? { bias: m.real([o]) } : {}),
    ...(residual ? { residual: logits ? m.float([n, o]) : m.real([n, o]) } : {}),
  };
}

function forward(shape: Shape, extras: Extras = {}): OpCase {
  return {
    op: "MatmulForward", name: nameOf(shape, extras), terms: shape.i, frozen: ["weight"],
    make: (m) => forwardFields(m, shape, extras),
    ...(extras.residual ? { aliases: [{ out: "residual" }] } : {}),
  };
}

function inputGradient(shape: Shape, differences = false): GradientCase {
  return {
    forward: "MatmulForward", backward: "MatmulBackwardInput", name: nameOf(shape), terms: Math.max(shape.o, shape.i),
    differences, make: (m) => forwardFields(m, shape, {}),
    output: "out", dout: "dout", gradients: { x: "dx" },
    back: (fields, m) => ({ dx: m.output([shape.n, shape.i]), ...inputs(fields, "weight") }),
  };
}

function accumulatedInputGradient({ n, i, o }: Shape): OpCase {
  return {
    op: "MatmulBackwardInput", name: `accumulate ${nameOf({ n, i, o })}`, terms: o,
    make: (m) => ({ dx: m.inPlace([n, i]), dout: m.real([n, o]), weight: m.real([o, i]), accumulate: true }),
  };
}

function weightGradient(shape: Shape, differences = false): GradientCase {
  const { n, i, o } = shape;
  return {
    forward: "MatmulForward", backward: "MatmulBackwardWeight", name: `bias ${nameOf(shape)}`, terms: Math.max(n, i),
    differences, make: (m) => forwardFields(m, shape, { bias: true }),
    output: "out", dout: "dout", gradients: { weight: "dweight", bias: "dbias" },
    back: (fields, m) => ({ dweight: m.accumulated([o, i]), dbias: m.accumulated([o]), ...inputs(fields, "x") }),
  };
}

function plainWeightGradient({ n, i, o }: Shape): OpCase {
  return {
    op: "MatmulBackwardWeight", name: nameOf({ n, i, o }), terms: n,
    make: (m) => ({ dweight: m.accumulated([o, i]), dout: m.real([n, o]), x: m.real([n, i]) }),
  };
}

const tiny: Shape[] = [{ n: 1, i: 1, o: 1 }, { n: 7, i: 3, o: 5 }, { n: 2, i: 129, o: 1 }, { n: 1, i: 2, o: 33 }];
const odd: Shape[] = [
  { n: 12, i: 64, o: 32 }, { n: 13, i: 65, o: 33 }, { n: 129, i: 129, o: 129 }, { n: 1, i: 768, o: 257 },
  { n: 70, i: 300, o: 100 }, { n: 5, i: 1, o: 40 }, { n: 257, i: 7, o: 3 }, { n: 25, i: 1111, o: 64 },
];
/** More rows than a tile has. */
const tall: Shape[] = [{ n: 256, i: 64, o: 40 }, { n: 257, i: 72, o: 136 }, { n: 300, i: 40, o: 264 }];
const empty: Shape[] = [{ n: 0, i: 8, o: 8 }];

export const gradients: GradientCase[] = [
  ...tiny.flatMap((shape) => [inputGradient(shape, true), weightGradient(shape, true)]),
  ...[...odd, ...tall, ...empty].flatMap((shape) => [inputGradient(shape), weightGradient(shape)]),
];

const forwards = (shape: Shape): OpCase[] => [
  forward(shape, { residual: true }), forward(shape, { bias: true, residual: true }), forward(shape, { logits: true }),
  forward(shape, { logits: true, residual: true }),
];

export const cases: OpCase[] = [
  ...[...tiny, ...odd, ...tall].flatMap(forwards),
  ...[...tiny, ...odd, ...tall].flatMap((shape) => [accumulatedInputGradient(shape), plainWeightGradient(shape)]),
];
