// Random draws that are a pure function of (seed, key): what is drawn for question 17 does not depend on how
// many others were drawn before it. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011); the key is hashed into its counter. It does NOT know what is drawn.

/** One block of four 32-bit numbers. */
function philox(counter: readonly [number, number, number, number], key: readonly [number, number]): Uint32Array {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const p0 = BigInt(c0) * 0xd2511f53n;
    const p1 = BigInt(c2) * 0xcd9e8d57n;
    [c0, c1, c2, c3] = [
      (Number(p1 >> 32n) ^ c1 ^ k0) >>> 0, Number(p1 & 0xffffffffn),
      (Number(p0 >> 32n) ^ c3 ^ k1) >>> 0, Number(p0 & 0xffffffffn),
    ];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
}

/** FNV-1a, 32 bits, over UTF-16 code units; `basis` makes independent hashes of one text. */
export function hashText(text: string, basis = 0x811c9dc5): number {
  let hash = basis >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** A stream of draws for one key. */
export class KeyedRandom {
  private block: Uint32Array = new Uint32Array(0);
  private used = 0;
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
    if (this.used === this.block.length) {
      this.block = philox([this.blocks++, 0, this.counter[0], this.counter[1]], this.key);
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
