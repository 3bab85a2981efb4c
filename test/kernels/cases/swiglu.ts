// SwiGLU, its saturated ends included.
import { inputs, type GradientCase, type OpCase } from "../support/case";
import { type Maker, type TensorValue } from "../support/fields";

function swiglu(n: number, f: number, scale: number, differences = false): GradientCase {
  return {
    forward: "SwigluForward", backward: "SwigluBackward", name: `N=${n} F=${f} scale ${scale}`, terms: 1, differences,
    make: (m) => ({ out: m.output([n, f]), gate_up: m.real([n, 2 * f], scale) }),
    output: "out", dout: "dout", gradients: { gate_up: "dgate_up" },
    back: (forward, m) => ({ dgate_up: m.output([n, 2 * f]), ...inputs(forward, "gate_up") }),
    aliases: [{ dgate_up: "gate_up" }],
  };
}

/** Gates at which exp overflows or vanishes: the sigmoid must be 0 or 1, never NaN. */
const extremes = [-3e4, -200, -100, -88.5, -20, 0, 20, 88.5, 100, 200, 3e4];

function saturated(m: Maker): TensorValue {
  const up = extremes.map(() => Math.fround(m.random.normal()));
  return m.floats([...extremes, ...up], [1, 2 * extremes.length]);
}

export const gradients: GradientCase[] = [
  swiglu(1, 1, 1, true), swiglu(7, 5, 2, true), swiglu(1, 129, 1, true), swiglu(33, 768, 3), swiglu(129, 17, 30),
  swiglu(0, 8, 1),
];

const f = extremes.length;

export const cases: OpCase[] = [
  {
    op: "SwigluForward", name: "saturated", terms: 1,
    make: (m) => ({ out: m.output([1, f], "float32"), gate_up: saturated(m) }),
  },
  {
    op: "SwigluBackward", name: "saturated", terms: 1,
    make: (m) => ({ dgate_up: m.output([1, 2 * f], "float32"), dout: m.float([1, f]), gate_up: saturated(m) }),
  },
];
