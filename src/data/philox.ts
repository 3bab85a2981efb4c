// Philox4x32-10, the counter-based generator the native code uses: numbers are a pure function of (key, counter), so
// a draw does not depend on what was drawn before it.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. It does NOT know what is drawn.

export type Block = readonly [number, number, number, number];

/** High and low 32 bits of the product of two unsigned 32-bit integers. */
function multiply(a: number, b: number): [high: number, low: number] {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const middle2 = aLow * bHigh + (middle & 0xffff);
  const high = aHigh * bHigh + Math.floor(middle / 65536) + (middle2 >>> 16);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** Four random 32-bit words. `counter` and `key` are unsigned 32-bit words, the least significant first. */
export function philox4x32(counter: Block, key: readonly [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0);
    const [high1, low1] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A seed below 2^53 as the two words of a key. */
export function keyOfSeed(seed: number): [number, number] {
  return [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
}

/** A stream of words under (seed, stream number): equal arguments, equal words. */
export class PhiloxStream {
  private readonly key: readonly [number, number];
  private block: Block = [0, 0, 0, 0];
  private used = 4;
  private blocks = 0;

  constructor(seed: number, private readonly stream: number, private readonly domain = 0) {
    this.key = keyOfSeed(seed);
  }

  /** The next unsigned 32-bit word. */
  next(): number {
    if (this.used === 4) {
      this.block = philox4x32([this.blocks++, this.domain, this.stream, 0], this.key);
      this.used = 0;
    }
    return this.block[this.used++]!;
  }

  /** A uniform integer in [0, bound), exactly uniform: words that would favour some results are drawn again. */
  below(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let word = this.next();
    while (word >= limit) word = this.next();
    return word % bound;
  }
}
