// Random draws that are a pure function of (seed, key): what is drawn for question 17 does not depend on how
// many others were drawn before it. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011); the key is hashed into its counter. It does NOT know what is drawn.

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;

/** Upper 32 bits of a 64-bit product, in halves so that every partial result is exact in a double. */
function multiplyHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + (middle >>> 16) + (other >>> 16);
}

/** Turns a counter of four 32-bit numbers into four random ones, in place. */
function philox(block: Uint32Array, key0: number, key1: number): void {
  let [c0, c1, c2, c3] = block as unknown as [number, number, number, number];
  let [k0, k1] = [key0, key1];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0, MULTIPLIERS[0]);
    const high1 = multiplyHigh(c2, MULTIPLIERS[1]);
    const low0 = Math.imul(c0, MULTIPLIERS[0]) >>> 0;
    const low1 = Math.imul(c2, MULTIPLIERS[1]) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  block.set([c0, c1, c2, c3]);
}

/** FNV-1a, 32 bits, over UTF-16 code units; `basis` makes independent hashes of one text. */
export function hashText(text: string, basis = 0x811c9dc5): number {
  let hash = basis >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** A stream of draws for one key. */
export class KeyedRandom {
  private readonly block = new Uint32Array(4);
  private used = 4;
  private blocks = 0;
  private readonly counter: readonly [number, number];
  private readonly key: readonly [number, number];

  /** `seed` is any integer; `parts` name the stream, e.g. ("wordproblems", "train", 17). */
  constructor(seed: number, ...parts: readonly (string | number)[]) {
    const name = parts.join("\u001f");
    this.counter = [hashText(name), hashText(name, 0x9747b28c)];
    this.key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
  }

  /** 32 random bits. */
  bits(): number {
    if (this.used === 4) {
      this.block.set([this.blocks++, 0, this.counter[0], this.counter[1]]);
      philox(this.block, this.key[0], this.key[1]);
      this.used = 0;
    }
    return this.block[this.used++] ?? 0;
  }

  /** Uniform in [0, 1), 32 bits of resolution. */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** Uniform integer in [0, n), without bias: draws in the incomplete last range are thrown away. */
  below(n: number): number {
    const limit = Math.floor(2 ** 32 / n) * n;
    for (;;) {
      const bits = this.bits();
      if (bits < limit) return bits % n;
    }
  }

  /** Uniform integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** One element of a non-empty list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }
}
