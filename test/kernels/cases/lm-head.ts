// The loss head in one and in several chunks.
import { casesOf, inputs, without, type GradientCase, type OpCase } from "../support/case";

interface Shape {
  m: number;
  c: number;
  v: number;
}

function head({ m, c, v }: Shape, chunkEnds: number[], differences = false): GradientCase {
  return {
    forward: "LmHeadForward", backward: "LmHeadLoss", name: `M=${m} C=${c} V=${v} chunks to ${chunkEnds.join(",")}`,
    terms: Math.max(m, c, v), differences,
    make: (maker) => ({
      logps: maker.output([m], "float32"), x: maker.real([m, c]), weight: maker.real([v, c], 1 / Math.sqrt(c)),
      targets: maker.indices(m, v),
    }),
    output: "logps", dout: "dlogps", gradients: { x: "dx", weight: "dweight" },
    back: (forward, maker) => ({
      logps: maker.output([m], "float32"), metrics: maker.output([m, 3], "float32"), dx: maker.output([m, c]),
      dweight: maker.accumulated([v, c]), ...inputs(forward, "x", "weight", "targets"), chunk_ends: chunkEnds,
    }),
  };
}

export const gradients: GradientCase[] = [
  head({ m: 1, c: 1, v: 1 }, [1]), head({ m: 1, c: 3, v: 2 }, [1], true), head({ m: 7, c: 5, v: 11 }, [3, 4, 7], true),
  head({ m: 2, c: 2, v: 129 }, [2], true), head({ m: 33, c: 64, v: 1000 }, [33]),
  head({ m: 65, c: 48, v: 257 }, [16, 64, 65]), head({ m: 129, c: 129, v: 129 }, [128, 129]),
  head({ m: 5, c: 32, v: 8193 }, [5]), head({ m: 0, c: 4, v: 5 }, []),
  // On Hopper a row is shared out to a cluster, here of two blocks; test/cuda/planted_clusters.cpp has other sizes.
  head({ m: 3, c: 2, v: 16385 }, [2, 3]),
];

/** The pass over the logits alone. */
function rows(m: number, v: number): OpCase {
  return {
    op: "LmHeadRows", name: `M=${m} V=${v}`, terms: v,
    sharing: (dtype): Record<string, string> => (dtype === "float32" ? { dlogits: "logits" } : {}),
    make: (maker) => ({
      logps: maker.output([m], "float32"), metrics: maker.output([m, 3], "float32"), dlogits: maker.output([m, v]),
      logits: { ...maker.float([m, v]), role: "scratch" }, targets: maker.indices(m, v),
    }),
  };
}

/** A frozen head: the same log-probabilities and dx. */
const frozen = [
  head({ m: 7, c: 5, v: 11 }, [3, 4, 7]), head({ m: 65, c: 48, v: 257 }, [16, 64, 65]), head({ m: 0, c: 4, v: 5 }, []),
].map((gradient) => without(casesOf(gradient)[1]!, "dweight"));

export const cases: OpCase[] = [
  ...frozen,
  rows(0, 5), rows(1, 1), rows(7, 11), rows(33, 256), rows(2, 8193), rows(2, 16388), rows(1, 40_001),
];
