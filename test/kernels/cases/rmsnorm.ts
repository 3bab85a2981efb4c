// RMSNorm of rows and of heads.
import { casesOf, inputs, without, type GradientCase, type OpCase } from "../support/case";

function rmsnorm(n: number, c: number, eps: number, differences = false): GradientCase {
  return {
    forward: "RmsNormForward", backward: "RmsNormBackward", name: `N=${n} C=${c} eps=${eps}`, terms: c + n, differences,
    make: (m) => ({ out: m.output([n, c]), rstd: m.output([n], "float32"), x: m.real([n, c]), weight: m.real([c]), eps }),
    output: "out", dout: "dout", gradients: { x: "dx", weight: "dweight" },
    back: (forward, m) => ({
      dx: m.output([n, c]), dweight: m.accumulated([c]), ...inputs(forward, "x", "rstd", "weight"),
    }),
    aliases: [{ dx: "dout" }],
  };
}

/** The gradient that flows past the norm is added. */
function withResidual(n: number, c: number): OpCase {
  return {
    op: "RmsNormBackward", name: `residual N=${n} C=${c}`, terms: c + n,
    make: (m) => ({
      dx: m.output([n, c]), dweight: m.accumulated([c]), dout: m.real([n, c]), dresidual: m.real([n, c]),
      x: m.real([n, c]), rstd: m.floats(Array.from({ length: n }, () => 0.5 + m.random.uniform())), weight: m.real([c]),
    }),
    aliases: [{ dx: "dresidual" }, { dx: "dout" }],
  };
}

/** The same gradient of x where a frozen weight takes none. */
const frozen = (n: number, c: number): OpCase => without(withResidual(n, c), "dweight");

const frozenHeads = (n: number, h: number, k: number, d: number): OpCase =>
  without(casesOf(headNorm(n, h, k, d, 1e-6))[1]!, "dq_weight", "dk_weight");

function headNorm(n: number, h: number, k: number, d: number, eps: number, differences = false): GradientCase {
  const scalars = { num_heads: h, num_kv_heads: k };
  return {
    forward: "HeadNormForward", backward: "HeadNormBackward", name: `N=${n} H=${h} K=${k} D=${d}`,
    terms: d + n * h, differences,
    make: (m) => ({
      out: m.output([n, h + 2 * k, d]), rstd: m.output([n, h + k], "float32"), x: m.real([n, h + 2 * k, d]),
      q_weight: m.real([d]), k_weight: m.real([d]), eps, ...scalars,
    }),
    output: "out", dout: "dout", gradients: { x: "dx", q_weight: "dq_weight", k_weight: "dk_weight" },
    back: (forward, m) => ({
      dx: m.output([n, h + 2 * k, d]), dq_weight: m.accumulated([d]), dk_weight: m.accumulated([d]),
      ...inputs(forward, "x", "rstd", "q_weight", "k_weight"), ...scalars,
    }),
    aliases: [{ dx: "dout" }],
  };
}

export const gradients: GradientCase[] = [
  rmsnorm(1, 1, 0.1, true), rmsnorm(7, 7, 0.1, true), rmsnorm(1, 129, 0.1, true), rmsnorm(3, 64, 1e-5),
  rmsnorm(129, 288, 1e-6), rmsnorm(2, 1000, 1e-5), rmsnorm(0, 8, 1e-5),
  rmsnorm(5, 8, 1e-5), rmsnorm(33, 1024, 1e-6), rmsnorm(11, 4096, 1e-5), rmsnorm(3, 5120, 1e-6),
  headNorm(1, 1, 1, 3, 0.1, true), headNorm(3, 4, 2, 7, 0.1, true), headNorm(33, 6, 2, 64, 1e-6),
  headNorm(7, 3, 3, 129, 1e-6), headNorm(0, 2, 1, 8, 1e-6),
  headNorm(65, 5, 1, 128, 1e-6), headNorm(3, 2, 1, 256, 1e-6), headNorm(3, 2, 1, 264, 1e-6),
];

export const cases: OpCase[] = [withResidual(1, 1), withResidual(7, 129), withResidual(65, 256), withResidual(9, 4096),
  withResidual(3, 8200), withResidual(3, 16_392), // wider than any backend keeps in registers
  frozen(1, 1), frozen(129, 65), frozen(3, 16_392), frozen(0, 8), frozenHeads(33, 6, 2, 64), frozenHeads(3, 2, 1, 264)];
