// What the second phase leaves open, as named options with their defaults.
// It does NOT build pairs.

import { fail } from "../errors";
import type { PairPolicy } from "../data/records";

export const PAIR_POLICIES: readonly PairPolicy[] = ["paper_cot", "answer_only", "correctness", "mixed"];

export interface PairOptions {
  /**
   * - paper_cot: a right reasoned path (else the teacher's) over a direct answer, right or wrong
   * - answer_only: a right direct answer (else the teacher's) over a wrong one
   * - correctness: a right reasoned path over a wrong one
   * - mixed: paper_cot where the direct answer is wrong, and correctness; nothing where all is right
   */
  policy: PairPolicy;
  /** What a sample must agree with to be right: the teacher's final answer or the gold one. */
  target_source: "teacher" | "gold";
  /** The prompt both sides are scored on: without or with the trigger. */
  dpo_prompt: "plain" | "cot";
  max_pairs_per_question: number;
  /** Largest share of pairs whose chosen side is the teacher's; the surplus is left out by lot. */
  max_teacher_share: number;
  /**
   * Samples of one question whose token sets overlap more (Jaccard) are duplicates; 1: only equal texts are.
   */
  max_similarity: number;
  seed: number;
  /** Round of phase 2, kept in every pair. */
  iteration: number;
}

export const PAIR_DEFAULTS: Readonly<PairOptions> = {
  policy: "paper_cot",
  target_source: "teacher",
  dpo_prompt: "plain",
  max_pairs_per_question: 4,
  max_teacher_share: 0.5,
  max_similarity: 1,
  seed: 0,
  iteration: 0,
};

/** Defaults filled in. Errors: ERR_INVALID_ARGUMENT naming option, value and what is wanted. */
export function pairOptions(given: Partial<PairOptions> = {}): PairOptions {
  const options = { ...PAIR_DEFAULTS, ...given };
  const check = (name: keyof PairOptions, holds: boolean, wanted: string): void => {
    if (!holds) fail("ERR_INVALID_ARGUMENT", `${name} is ${String(options[name])}, wanted ${wanted}`, { option: name });
  };
  const isShare = (value: number): boolean => value >= 0 && value <= 1;
  check("policy", PAIR_POLICIES.includes(options.policy), `one of ${PAIR_POLICIES.join(", ")}`);
  check("target_source", ["teacher", "gold"].includes(options.target_source), "teacher or gold");
  check("dpo_prompt", ["plain", "cot"].includes(options.dpo_prompt), "plain or cot");
  check("max_pairs_per_question", Number.isInteger(options.max_pairs_per_question) && options.max_pairs_per_question > 0,
    "an integer from 1");
  check("max_teacher_share", isShare(options.max_teacher_share), "a share from 0 to 1");
  check("max_similarity", isShare(options.max_similarity), "a share from 0 to 1");
  check("seed", Number.isSafeInteger(options.seed) && options.seed >= 0, "an integer from 0");
  check("iteration", Number.isInteger(options.iteration) && options.iteration >= 0, "an integer from 0");
  return options;
}
