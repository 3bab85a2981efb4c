// Embedding and row selection.
import type { GradientCase } from "../support/case";
import { inputs } from "../support/case";
import { tensor } from "../support/fields";

function embedding(n: number, c: number, v: number, differences = false): GradientCase {
  return {
    forward: "EmbeddingForward", backward: "EmbeddingBackward", name: `N=${n} C=${c} V=${v}`, terms: n, differences,
    make: (m) => ({ out: m.output([n, c]), weight: m.real([v, c]), tokens: m.indices(n, v) }),
    output: "out", dout: "dout", gradients: { weight: "dweight" },
    back: (forward, m) => ({ dweight: m.accumulated([v, c]), ...inputs(forward, "tokens") }),
  };
}

/** Scatter is the gradient of gather, and the other way round. */
function gather(m: number, n: number, c: number, differences = false): GradientCase {
  return {
    forward: "GatherRows", backward: "ScatterRows", name: `M=${m} N=${n} C=${c}`, terms: 0, differences,
    make: (maker) => ({ out: maker.output([m, c]), x: maker.real([n, c]), rows: maker.increasing(m, n) }),
    output: "out", dout: "x", gradients: { x: "out" },
    back: (forward, maker) => ({ out: maker.output(tensor(forward, "x").shape), ...inputs(forward, "rows") }),
  };
}

export const gradients: GradientCase[] = [
  embedding(1, 1, 1), embedding(7, 5, 3, true), embedding(129, 64, 11), embedding(33, 129, 300), embedding(0, 8, 4),
  embedding(65, 1024, 5), embedding(9, 8, 100),
  embedding(200, 64, 3), embedding(129, 33, 2), // tokens of so many rows that their sum is cut into pieces
  gather(1, 1, 1), gather(3, 7, 5, true), gather(64, 129, 33), gather(7, 7, 129), gather(0, 7, 3), gather(0, 0, 3),
  gather(17, 33, 1024),
];
