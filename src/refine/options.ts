// What the second phase leaves open, as named options: the types and the check of what a caller gave. Bounds, defaults
// and help are in config/options.ts. It does NOT build pairs.
import type { z } from "zod";
import { pairRules } from "../config/effects";
import { pairOptions as schema } from "../config/options";
import { parseOptions } from "../config/parse";

/**
 * `policy`:
 * - paper_cot: a right reasoned path (else the teacher's) over a direct answer, right or wrong
 * - answer_only: a right direct answer (else the teacher's) over a wrong one
 * - correctness: a right reasoned path over a wrong one
 * - mixed: paper_cot where the direct answer is wrong, and correctness; nothing where all is right
 *
 * Of the pairs beyond `max_teacher_share` the surplus is left out by lot.
 */
export type PairOptions = z.infer<typeof schema>;

/** Defaults filled in. @throws ERR_CONFIG naming what is unknown, out of bounds or without effect */
export function pairOptions(given: Partial<PairOptions> = {}): PairOptions {
  return parseOptions(schema, given, "pairs", pairRules);
}
