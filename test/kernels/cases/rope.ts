// Rotary embedding in both layouts.
import { inputs, type GradientCase } from "../support/case";

interface Shape {
  n: number;
  h: number;
  k: number;
  d: number;
}

function rope({ n, h, k, d }: Shape, interleaved: boolean, furthest: number, differences = false): GradientCase {
  const scalars = { num_heads: h, num_kv_heads: k, interleaved };
  const half = d / 2;
  return {
    forward: "RopeForward", backward: "RopeBackward",
    name: `N=${n} H=${h} K=${k} D=${d} ${interleaved ? "interleaved" : "halves"} to position ${furthest}`,
    terms: 1, differences, // far positions too: an angle of thousands of radians must not be rounded to float32
    make: (m) => ({
      qkv: m.inPlace([n, h + 2 * k, d]), positions: m.indices(n, furthest + 1),
      inv_freq: m.floats(Array.from({ length: half }, (_, i) => 10000 ** (-i / half))), ...scalars,
    }),
    output: "qkv", dout: "dqkv", gradients: { qkv: "dqkv" },
    back: (forward) => ({ ...inputs(forward, "positions", "inv_freq"), ...scalars }),
  };
}

export const gradients: GradientCase[] = [false, true].flatMap((interleaved) => [
  rope({ n: 1, h: 1, k: 1, d: 2 }, interleaved, 0, true),
  rope({ n: 7, h: 3, k: 1, d: 6 }, interleaved, 20, true),
  rope({ n: 33, h: 6, k: 2, d: 48 }, interleaved, 100),
  rope({ n: 129, h: 4, k: 4, d: 64 }, interleaved, 4096),
  rope({ n: 3, h: 2, k: 1, d: 128 }, interleaved, 300),
  rope({ n: 5, h: 7, k: 2, d: 80 }, interleaved, 131_071),
  rope({ n: 600, h: 13, k: 2, d: 32 }, interleaved, 4096),
  rope({ n: 0, h: 2, k: 1, d: 8 }, interleaved, 1),
]);
