// Exact numbers for answers: 0.1 + 0.2 problems must not decide whether a student is right. A value is a
// fraction of two BigInts; its normal form is an integer, a terminating decimal, or p/q in lowest terms. It
// does NOT know where in a text a number stands (see extract-number.ts).

export interface Rational {
  readonly numerator: bigint;
  /** Always positive. */
  readonly denominator: bigint;
}

/** Longer digit strings are noise of a degenerate sample, not an answer, and would cost quadratic time. */
const MAX_DIGITS = 200;

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

/** a / b in lowest terms; null when b is 0. */
export function ratio(a: bigint, b: bigint): Rational | null {
  if (b === 0n) return null;
  const divisor = gcd(a, b) * (b < 0n ? -1n : 1n);
  return { numerator: a / divisor, denominator: b / divisor };
}

/** "1,234.50", ".5", "1e3", sign apart; null when it is not one plain decimal number. */
export function parseDecimal(text: string): Rational | null {
  const match = /^(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/.exec(text);
  if (match === null || text.length > MAX_DIGITS) return null;
  const whole = (match[1] ?? "").replace(/,/g, "");
  const decimals = match[2] ?? "";
  if (whole + decimals === "") return null;
  const exponent = Number(match[3] ?? 0) - decimals.length;
  const digits = BigInt(whole + decimals);
  if (Math.abs(exponent) > MAX_DIGITS) return null;
  return exponent >= 0 ? ratio(digits * 10n ** BigInt(exponent), 1n) : ratio(digits, 10n ** BigInt(-exponent));
}

export function add(a: Rational, b: Rational): Rational {
  const denominator = a.denominator * b.denominator;
  return ratio(a.numerator * b.denominator + b.numerator * a.denominator, denominator)!;
}

export function negate(a: Rational): Rational {
  return { numerator: -a.numerator, denominator: a.denominator };
}

export function sameValue(a: Rational, b: Rational): boolean {
  return a.numerator === b.numerator && a.denominator === b.denominator;
}

/** Normal form: "42", "-3.5", "2/3". Two equal values have equal normal forms. */
export function formatRational(value: Rational): string {
  const { numerator, denominator } = value;
  if (denominator === 1n) return numerator.toString();
  let [rest, twos, fives] = [denominator, 0, 0];
  while (rest % 2n === 0n) [rest, twos] = [rest / 2n, twos + 1];
  while (rest % 5n === 0n) [rest, fives] = [rest / 5n, fives + 1];
  if (rest !== 1n) return `${numerator}/${denominator}`;
  const places = Math.max(twos, fives);
  const scaled = numerator * 10n ** BigInt(places) / denominator;
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(places + 1, "0");
  return `${scaled < 0n ? "-" : ""}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}
