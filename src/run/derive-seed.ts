// One seed of a run to the seeds of its stages, so that no two stages draw the same numbers and a run has one
// seed to set. It does NOT draw anything.
import { sha256 } from "../files";

/** A seed in [0, 2^52): a function of the run's seed and the names alone. */
export function deriveSeed(seed: number, ...names: readonly (string | number)[]): number {
  return parseInt(sha256(JSON.stringify([seed, ...names])).slice(0, 13), 16);
}
