// Accuracy of one model on one set of questions, with its interval and what could not be read.
// Source of the interval: Wilson 1927, as in Brown, Cai, DasGupta 2001 (score interval without continuity correction).
// It does NOT compare models (see compare.ts).

import type { Prediction } from "../data/records";
import { fail } from "../errors";

export interface Accuracy {
  n: number;
  correct: number;
  /** correct / n; 0 of none. */
  accuracy: number;
  /** 95 % Wilson interval. */
  low: number;
  high: number;
  /** Share of completions without a readable answer; they count as wrong. */
  extraction_failure_rate: number;
}

/** Two-sided 95 % quantile of the normal distribution. */
const Z = 1.959963984540054;

/** Wilson's score interval for k of n; [0, 1] when n is 0. */
export function wilson(k: number, n: number, z = Z): { low: number; high: number } {
  if (!(k >= 0 && k <= n)) fail("ERR_INVALID_ARGUMENT", `wilson: got ${k} of ${n}, wanted 0 <= k <= n`);
  if (n === 0) return { low: 0, high: 1 };
  const share = k / n;
  const z2 = z * z / n;
  const centre = (share + z2 / 2) / (1 + z2);
  const half = z / (1 + z2) * Math.sqrt(share * (1 - share) / n + z2 / (4 * n));
  // At the ends the formula gives 0 and 1 exactly but for rounding.
  return { low: k === 0 ? 0 : centre - half, high: k === n ? 1 : centre + half };
}

export function accuracyOf(predictions: readonly Prediction[]): Accuracy {
  const n = predictions.length;
  const correct = predictions.filter((one) => one.correct).length;
  const unread = predictions.filter((one) => one.answer === null).length;
  return {
    n, correct, accuracy: n === 0 ? 0 : correct / n, ...wilson(correct, n),
    extraction_failure_rate: n === 0 ? 0 : unread / n,
  };
}

/** Extraction failure, in tasks and domains apart: a rate that differs between models explains a difference. */
export function byTask(predictions: readonly Prediction[]): Map<string, Prediction[]> {
  const tasks = new Map<string, Prediction[]>();
  for (const one of predictions) {
    const list = tasks.get(one.task);
    if (list === undefined) tasks.set(one.task, [one]);
    else list.push(one);
  }
  return tasks;
}
