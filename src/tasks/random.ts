// Random draws that are a pure function of (seed, key): what is drawn for question 17 does not depend on how
// many others were drawn before it: Philox with the key hashed into its counter. It does NOT know what is drawn.

import { philox4x32 } from "../data/philox";

/** FNV-1a, 32 bits, over UTF-16 code units; `basis` makes independent hashes of one text. */
export function hashText(text: string, basis = 0x811c9dc5): number {
  let hash = basis >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** A stream of draws for one key. */
export class KeyedRandom {
  private block: readonly number[] = [];
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
      this.block = philox4x32([this.blocks++, 0, this.counter[0], this.counter[1]], this.key);
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
