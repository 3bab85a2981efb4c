// Low-rank adapters: of a whole layer, of all parts of a fused one, of some of them.
import { inputs, type GradientCase, type OpCase } from "../support/case";
import { execute } from "../support/execute";
import { asInput, tensor, type Fields, type Maker } from "../support/fields";
import { reference } from "../support/backends";
import type { Real } from "../support/dtype";

interface Shape {
  n: number;
  i: number;
  o: number;
  r: number;
  /** Begin and end of each adapter's rows. */
  blocks: number[];
}

const nameOf = ({ n, i, o, r, blocks }: Shape): string => `N=${n} I=${i} O=${o} r=${r} of ${blocks.join(",")}`;

const rowsOf = ({ blocks }: Shape): number =>
  blocks.reduce((sum, edge, index) => sum + (index % 2 === 0 ? -edge : edge), 0);
const ranksOf = ({ blocks, r }: Shape): number => r * blocks.length / 2;

/** No power of two: a scale that rounds. */
const scale = 0.75;

function forwardFields(m: Maker, shape: Shape): Fields {
  const { n, i, o, r, blocks } = shape;
  return {
    out: m.output([n, o]), u: m.output([n, ranksOf(shape)]), x: m.real([n, i]), weight: m.real([o, i]),
    a: m.real([ranksOf(shape), i], 1 / Math.sqrt(i)), b: m.real([rowsOf(shape), r]), blocks, scale,
  };
}

const termsOf = ({ n, i, o, r }: Shape): number => Math.max(n, i, o) + r;

function weightGradient(shape: Shape, differences = false): GradientCase {
  const { n, i, r, blocks } = shape;
  return {
    forward: "LoraForward", backward: "LoraBackwardWeight", name: nameOf(shape), terms: termsOf(shape), differences,
    make: (m) => forwardFields(m, shape),
    output: "out", dout: "dout", gradients: { a: "da", b: "db" },
    back: (fields, m) => ({
      da: m.accumulated([ranksOf(shape), i]), db: m.accumulated([rowsOf(shape), r]),
      du: m.output([n, ranksOf(shape)]), ...inputs(fields, "x", "u", "b"), blocks, scale,
    }),
  };
}

/** The du of LoraBackwardWeight for the same dout, from the reference. */
function withDu(shape: Shape, { u, b, ...fields }: Fields, dtype: Real): Fields {
  const { n, i, r, blocks } = shape;
  const zeros = (...dims: number[]) => ({
    dtype: "float32" as const, shape: dims, values: new Float64Array(dims.reduce((a, c) => a * c)), role: "accumulated" as const,
  });
  const blank = { ...tensor({ u: u! }, "u"), role: "output" as const };
  const { results } = execute(reference, "LoraBackwardWeight", {
    da: zeros(ranksOf(shape), i), db: zeros(rowsOf(shape), r), du: blank, dout: fields["dout"]!, u: u!, b: b!,
    x: { ...tensor(fields, "dx"), role: "input", values: new Float64Array(n * i) }, blocks, scale,
  }, { dtype });
  return { ...fields, du: asInput(blank, results["du"]) };
}

function inputGradient(shape: Shape, differences = false): GradientCase {
  return {
    forward: "LoraForward", backward: "LoraBackwardInput", name: nameOf(shape), terms: termsOf(shape), differences,
    make: (m) => forwardFields(m, shape),
    output: "out", dout: "dout", gradients: { x: "dx" },
    back: (fields, m) => ({ dx: m.output([shape.n, shape.i]), ...inputs(fields, "weight", "a", "u", "b") }),
    chain: (fields, dtype) => withDu(shape, fields, dtype),
  };
}

function forward(shape: Shape, more: { bias?: boolean; residual?: boolean }): OpCase {
  return {
    op: "LoraForward", name: [nameOf(shape), ...Object.keys(more)].join(" "), terms: termsOf(shape),
    frozen: ["weight", "a"],
    make: (m) => ({
      ...forwardFields(m, shape), ...(more.bias ? { bias: m.real([shape.o]) } : {}),
      ...(more.residual ? { residual: m.real([shape.n, shape.o]) } : {}),
    }),
  };
}

const tiny: Shape[] = [
  { n: 1, i: 1, o: 1, r: 1, blocks: [0, 1] }, { n: 3, i: 5, o: 7, r: 2, blocks: [0, 3, 3, 5, 5, 7] },
  { n: 4, i: 3, o: 8, r: 3, blocks: [1, 4, 6, 8] },
];
const odd: Shape[] = [
  { n: 12, i: 64, o: 32, r: 8, blocks: [0, 32] }, { n: 13, i: 65, o: 33, r: 5, blocks: [0, 17, 20, 33] },
  { n: 129, i: 129, o: 129, r: 16, blocks: [0, 129] }, { n: 70, i: 300, o: 96, r: 4, blocks: [0, 32, 32, 64, 64, 96] },
  { n: 1, i: 768, o: 264, r: 8, blocks: [128, 264] }, { n: 257, i: 8, o: 24, r: 8, blocks: [0, 8, 16, 24] },
  { n: 40, i: 1111, o: 64, r: 16, blocks: [0, 32, 32, 64] },
  { n: 300, i: 128, o: 136, r: 16, blocks: [0, 64, 64, 136] },
  { n: 5, i: 2304, o: 48, r: 80, blocks: [0, 16, 16, 32, 32, 48] }, { n: 0, i: 8, o: 8, r: 2, blocks: [0, 8] },
];

export const gradients: GradientCase[] = [
  ...tiny.flatMap((shape) => [weightGradient(shape, true), inputGradient(shape, true)]),
  ...odd.flatMap((shape) => [weightGradient(shape), inputGradient(shape)]),
];

export const cases: OpCase[] = [...tiny, ...odd].flatMap((shape) => [
  forward(shape, { bias: true }), forward(shape, { residual: true }), forward(shape, { bias: true, residual: true }),
]);

