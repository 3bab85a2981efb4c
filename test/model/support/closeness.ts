// How near to the double-precision goldens float32 has to come, once, with the reason.

export function largest(values: Iterable<number>): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** Largest |got - wanted|, in units of the largest wanted; NaN counts as infinite. */
export function relativeError(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return Infinity;
  let most = 0;
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs((got[i] as number) - (wanted[i] as number));
    if (!(error <= most)) most = Number.isNaN(error) ? Infinity : error;
  }
  return most / Math.max(largest(Array.from(wanted)), 1e-30);
}

/** Some hundred roundings of 2^-24 one after the other, in a model of two or three layers. */
export const float32Limit = 2e-5;

/** Log-softmax of each row of (rows, vocabulary) logits, in double. */
export function logSoftmax(logits: Float32Array, vocabulary: number): number[] {
  const out: number[] = [];
  for (let begin = 0; begin < logits.length; begin += vocabulary) {
    const row = Array.from(logits.subarray(begin, begin + vocabulary));
    const top = Math.max(...row);
    const lse = top + Math.log(row.reduce((sum, z) => sum + Math.exp(z - top), 0));
    out.push(...row.map((z) => z - lse));
  }
  return out;
}
