// Every tolerance of the kernel tests, once, with its reason. They bound |got - wanted| over a whole tensor.
// Test data is of order 1, so the terms of a sum are too, whatever cancels in the sum: errors are counted in units of
// 2^-24 (half a unit in the last place of a float32 near 1) times the largest magnitude, which is taken as at least 1.
const unit = 2 ** -24;

const { abs, floor, log2, sqrt } = Math; // constants: under jest a global is looked up through the sandbox at each use

function largest(values: Float64Array): number {
  return values.reduce((most, value) => (abs(value) > most ? abs(value) : most), 1);
}

/** NaN anywhere counts as infinite. */
export function largestError(got: Float64Array, wanted: Float64Array): number {
  if (got.length !== wanted.length) return Infinity;
  let most = 0;
  for (let i = 0; i < got.length; ++i) {
    const error = abs((got[i] as number) - (wanted[i] as number));
    if (!(error <= most)) most = error === error ? error : Infinity;
  }
  return most;
}

/**
 * What float32 arithmetic may differ from the double-precision truth. 16 units: a handful of roundings and an exp or a
 * division good to a few units. 2 sqrt(terms): roundings of a running sum are random, and the partial sums they are
 * relative to grow as its square root. `terms` 0 is for ops that only move values: exact.
 */
function float32Limit(truth: Float64Array, terms: number): number {
  return terms === 0 ? 0 : unit * (16 + 2 * sqrt(terms)) * largest(truth);
}

/**
 * FlashAttention's rule for narrow storage: at most twice the error that the reference itself makes when it is run in
 * that type, beside what float32 arithmetic may add before a rounding. Run in float32 the reference is the truth.
 */
export function errorLimit(truth: Float64Array, referenceInSameType: Float64Array, terms: number): number {
  return 2 * largestError(referenceInSameType, truth) + float32Limit(truth, terms);
}

/**
 * Two ways through one backend to the same numbers, each within float32's errors. Stored in bfloat16, two numbers that
 * are almost equal may be rounded to neighbours: with 8 significant bits these lie 2^-7 of the power of two below them
 * from each other.
 */
export function otherPathLimit(wanted: Float64Array, isBfloat16: boolean, terms: number): number {
  return float32Limit(wanted, terms) + (isBfloat16 ? 2 ** (floor(log2(largest(wanted))) - 7) : 0);
}

/** Sums in double over blocks, in another order: the same counting in units of double precision. */
export function float64Limit(truth: Float64Array, terms: number): number {
  return float32Limit(truth, terms) * 2 ** -29;
}

/**
 * Finite differences of step 2^-6 by the five-point formula. The truncation error is about step^4 / 30 = 2e-9 times
 * a fifth derivative; the forward pass is stored in float32, whose rounding of order 2^-24 sqrt(outputs) is divided by
 * the step: 1e-5 for some ten outputs that one input moves. 2^-11 of the largest gradient leaves room for both, and is
 * far below what any wrong term in a derivative makes.
 */
export const differenceStep = 2 ** -6;

export function differenceLimit(gradient: Float64Array): number {
  return 2 ** -11 * largest(gradient);
}
