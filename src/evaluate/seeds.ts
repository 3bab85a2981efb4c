// The same measurement over several seeds: mean, interval, and tests of paired differences between two conditions.
// A handful of seeds needs Student's t, not the normal. It does NOT know what was measured.

import { fail } from "../errors";
import { signTest, studentCdf, studentQuantile } from "./special";

export interface SeedSummary {
  n: number;
  mean: number;
  /** Sample standard deviation, n - 1; null with one seed. */
  stdev: number | null;
  /** 95 % t interval of the mean; null with one seed. */
  low: number | null;
  high: number | null;
  min: number;
  max: number;
}

export interface SeedComparison extends SeedSummary {
  /** Of the differences after - before: how many are positive, negative, zero. */
  better: number;
  worse: number;
  equal: number;
  /** Two-sided; zeros left out. */
  sign_test_p: number;
  /** Two-sided paired t; null with one seed; 1 or 0 when all differences are equal (0 or not). */
  paired_t_p: number | null;
}

/** Errors: ERR_INVALID_ARGUMENT on an empty list or a value that is no number. */
export function summarizeSeeds(values: readonly number[]): SeedSummary {
  if (values.length === 0 || !values.every(Number.isFinite)) {
    fail("ERR_INVALID_ARGUMENT", `summarizeSeeds: got [${values.join(", ")}], wanted one finite number a seed`);
  }
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const range = { min: Math.min(...values), max: Math.max(...values) };
  if (n === 1) return { n, mean, stdev: null, low: null, high: null, ...range };
  const stdev = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const half = studentQuantile(0.975, n - 1) * stdev / Math.sqrt(n);
  return { n, mean, stdev, low: mean - half, high: mean + half, ...range };
}

/** Seed i of `before` with seed i of `after`. Errors: ERR_INVALID_ARGUMENT when the lengths differ. */
export function compareSeeds(before: readonly number[], after: readonly number[]): SeedComparison {
  if (before.length !== after.length) {
    fail("ERR_INVALID_ARGUMENT", `compareSeeds: got ${before.length} and ${after.length} seeds, wanted as many of both`);
  }
  const differences = after.map((value, i) => value - (before[i] ?? 0));
  const summary = summarizeSeeds(differences);
  const better = differences.filter((one) => one > 0).length;
  const worse = differences.filter((one) => one < 0).length;
  return {
    ...summary, better, worse, equal: summary.n - better - worse,
    sign_test_p: signTest(better, better + worse),
    paired_t_p: pairedT(summary),
  };
}

function pairedT({ n, mean, stdev }: SeedSummary): number | null {
  if (stdev === null) return null;
  if (stdev === 0) return mean === 0 ? 1 : 0;
  const t = Math.abs(mean) / (stdev / Math.sqrt(n));
  return Math.min(1, 2 * (1 - studentCdf(t, n - 1)));
}
