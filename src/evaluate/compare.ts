// Two models on the same questions: exact McNemar test, paired bootstrap of the difference, preservation rate.
// Sources: McNemar 1947 in its exact binomial form; Efron & Tibshirani 1993 (percentile interval of paired resamples).
// It does NOT join several seeds (see seeds.ts).

import type { Prediction } from "../data/records";
import { fail } from "../errors";
import { KeyedRandom } from "../tasks/random";
import { signTest } from "./special";

export interface Comparison {
  n: number;
  accuracy_before: number;
  accuracy_after: number;
  /** after - before. */
  difference: number;
  /** 95 % percentile interval of the paired bootstrap. */
  low: number;
  high: number;
  /** Wrong before, right after; right before, wrong after. */
  gained: number;
  lost: number;
  /** Exact two-sided McNemar. */
  p_value: number;
  /** Of those right before, the share still right; null when none was. */
  preservation_rate: number | null;
}

export interface BootstrapOptions {
  resamples?: number;
  seed?: number;
}

/** Errors: ERR_DATA when the two do not answer the same questions, each once. */
export function compare(
  before: readonly Prediction[], after: readonly Prediction[], options: BootstrapOptions = {},
): Comparison {
  const pairs = pairUp(before, after);
  const n = pairs.length;
  const count = (b: boolean, a: boolean): number => pairs.filter((one) => one[0] === b && one[1] === a).length;
  const [kept, lost, gained] = [count(true, true), count(true, false), count(false, true)];
  const differences = pairs.map(([b, a]) => Number(a) - Number(b));
  return {
    n,
    accuracy_before: n === 0 ? 0 : (kept + lost) / n,
    accuracy_after: n === 0 ? 0 : (kept + gained) / n,
    difference: n === 0 ? 0 : (gained - lost) / n,
    ...bootstrapMean(differences, options),
    gained,
    lost,
    p_value: signTest(gained, gained + lost),
    preservation_rate: kept + lost === 0 ? null : kept / (kept + lost),
  };
}

/** 95 % percentile interval of the mean of `values` under resampling with replacement; [0, 0] of none. */
export function bootstrapMean(
  values: readonly number[], { resamples = 2000, seed = 0 }: BootstrapOptions = {},
): { low: number; high: number } {
  const n = values.length;
  if (n === 0) return { low: 0, high: 0 };
  const random = new KeyedRandom(seed, "bootstrap", n);
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[random.below(n)] as number;
    return sum / n;
  }).sort();
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Linear interpolation between order statistics. */
function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number];
  return low + (at - Math.floor(at)) * (high - low);
}

function pairUp(before: readonly Prediction[], after: readonly Prediction[]): [boolean, boolean][] {
  const key = (one: Prediction): string => `${one.task}\u0000${one.id}`;
  const first = new Map(before.map((one) => [key(one), one]));
  const second = new Set(after.map(key));
  const stranger = after.find((one) => !first.has(key(one)));
  if (stranger !== undefined || first.size !== before.length || second.size !== after.length
    || first.size !== second.size) {
    fail("ERR_DATA", `a paired test wants both models on the same questions, each once: got ${before.length} predictions `
      + `(${first.size} questions) and ${after.length} (${second.size})`
      + (stranger === undefined ? "" : `; "${stranger.id}" of ${stranger.task} is in the second only`));
  }
  return after.map((one) => [(first.get(key(one)) as Prediction).correct, one.correct]);
}
