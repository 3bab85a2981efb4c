// Reproducible test data: a small generator with full-mantissa values, so that sums in another order show.
// Under jest a global like Math is looked up through the sandbox at each use, a hundred times slower than a constant.
const { cos, floor, imul, log, sqrt } = Math;
const turn = 2 * Math.PI;

export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2654435761 + 1013904223) >>> 0;
  }

  /** A uniform in (0, 1), by the mulberry32 recurrence. */
  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = imul(x ^ (x >>> 15), x | 1);
    x ^= x + imul(x ^ (x >>> 7), x | 61);
    return (((x ^ (x >>> 14)) >>> 0) + 0.5) / 4294967296;
  }

  /** By Box and Muller. */
  normal(): number {
    return sqrt(-2 * log(this.uniform())) * cos(turn * this.uniform());
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return floor(this.uniform() * end);
  }
}

/** A seed that depends on the text alone, so that adding a case does not change the data of another. */
export function seedOf(text: string): number {
  let hash = 2166136261;
  for (const character of text) hash = imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
  return hash >>> 0;
}
