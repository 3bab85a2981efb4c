// Rounding to the storage type.
import type { OpCase } from "../support/case";

function cast(n: number): OpCase {
  return {
    op: "CastStorage", name: `n=${n}`, terms: 0,
    make: (m) => ({ out: m.output([n]), x: m.float([n]) }),
  };
}

export const cases: OpCase[] = [0, 1, 7, 8, 129, 70_001].map(cast);
