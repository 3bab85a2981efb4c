// AdamW and the norm of gradients.
import type { OpCase } from "../support/case";
import { round } from "../support/dtype";
import type { Fields, Maker, TensorValue } from "../support/fields";

const inout = (value: TensorValue): TensorValue => ({ ...value, role: "inout" });

function adamw(n: number, step: number, changes: Record<string, number> = {}): OpCase {
  const described = Object.entries(changes).map(([name, value]) => ` ${name}=${value}`).join("");
  return {
    op: "AdamWStep", name: `n=${n} step ${step}${described}`, terms: 1,
    sharing: (dtype): Record<string, string> => (dtype === "float32" ? { parameter: "master" } : {}),
    make: (m: Maker): Fields => ({
      parameter: m.output([n]), master: inout(m.float([n])), exp_avg: inout(m.float([n], 0.1)),
      exp_avg_sq: inout(m.floats(Array.from({ length: n }, () => 0.01 * m.random.uniform()))),
      gradient: inout(m.float([n])), learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step,
      ...changes,
    }),
  };
}

/** Without a master: in float32 nothing is rounded, so that it is the truth of the step in bfloat16. */
function stochastic(n: number, step: number, changes: Record<string, number | bigint> = {}): OpCase {
  const described = Object.entries(changes).map(([name, value]) => ` ${name}=${value}`).join("");
  return {
    op: "AdamWStochasticStep", name: `n=${n} step ${step}${described}`, terms: 1,
    make: (m: Maker): Fields => ({
      parameter: m.inPlace([n]), exp_avg: inout(m.real([n], 0.1)), exp_avg_sq: { ...squares(m, n), role: "inout" },
      gradient: inout(m.float([n])), learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step,
      ...changes,
    }),
  };
}

/** Small positive numbers that T holds. */
function squares(m: Maker, n: number): TensorValue {
  const value = m.real([n], 0.1);
  return { ...value, values: value.values.map((x) => round(0.1 * x * x, m.dtype)) };
}

function sumOfSquares(n: number): OpCase {
  return {
    op: "SumOfSquares", name: `n=${n}`, terms: Math.max(1, n),
    make: (m) => ({ out: m.output([1], "float64"), x: m.float([n]) }),
  };
}

export const cases: OpCase[] = [
  ...[0, 1, 7, 129, 5000].flatMap((n) => [adamw(n, 1), adamw(n, 1000)]),
  adamw(8, 5),
  adamw(129, 3, { gradient_scale: 0.25 }), adamw(129, 3, { weight_decay: 0 }), adamw(129, 3, { eps: 0.1 }),
  adamw(33, 2, { beta1: 0, beta2: 0.9 }),
  adamw(33, 2, { learning_rate: 0 }),
  ...[0, 1, 7, 16, 17, 33, 129, 5000, 70_000].map((n) => stochastic(n, 7)),
  stochastic(129, 1), stochastic(129, 4_000_000_000, { seed: 123_456_789_012n, first: 96 }),
  stochastic(129, 3, { gradient_scale: 0.25 }), stochastic(129, 3, { weight_decay: 0, first: 2 ** 40 }),
  stochastic(129, 3, { eps: 0.1 }),
  stochastic(33, 2, { beta1: 0, beta2: 0.9 }),
  stochastic(33, 2, { learning_rate: 0 }),
  ...[0, 1, 7, 129, 16_384, 70_000].map(sumOfSquares),
];
