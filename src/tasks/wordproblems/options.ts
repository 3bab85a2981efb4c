// The knobs of the procedural word problems: few, named, checked in one place. Difficulty grows with steps,
// operands and totals; everything else is variety. It does NOT know stories or teachers.

import { hint } from "../../config/names";
import { fail } from "../../errors";

/**
 * In-domain questions and the kinds that differ from them, each in one respect:
 * - "base"       what is trained on
 * - "order"      combinations of opening and ending that "base" never shows
 * - "longer"     one step more than the longest of "base"
 * - "distractor" one sentence with a number that does not matter
 * - "reversed"   the end is told, the beginning is asked for
 */
export const WORD_PROBLEM_KINDS = ["base", "order", "longer", "distractor", "reversed"] as const;
export type WordProblemKind = (typeof WORD_PROBLEM_KINDS)[number];

export const FRAME_NAMES = ["things", "shop", "ride", "farm"] as const;
export type FrameName = (typeof FRAME_NAMES)[number];

export interface WordProblemOptions {
  seed: number;
  /** Questions per split. */
  train: number;
  validation: number;
  test: number;
  /** Arithmetic steps of a "base" question, 1 to 5. */
  min_steps: number;
  max_steps: number;
  /** Largest number added or taken away; a story starts with at most twice as much. */
  max_operand: number;
  /** Largest multiplier and divisor. */
  max_factor: number;
  /** No result on the way exceeds it. */
  max_total: number;
  frames: readonly FrameName[];
}

export const WORD_PROBLEM_DEFAULTS: Readonly<WordProblemOptions> = {
  seed: 0,
  train: 4000,
  validation: 200,
  test: 400,
  min_steps: 2,
  max_steps: 3,
  max_operand: 12,
  max_factor: 5,
  max_total: 60,
  frames: FRAME_NAMES,
};

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  seed: [0, Number.MAX_SAFE_INTEGER], train: [0, 1e6], validation: [0, 1e6], test: [0, 1e6],
  min_steps: [1, 5], max_steps: [1, 5], max_operand: [3, 500], max_factor: [2, 50], max_total: [10, 9999],
};

/** Defaults filled in. @throws ERR_INVALID_ARGUMENT naming the option, what was got and what is wanted */
export function wordProblemOptions(given: Partial<WordProblemOptions> = {}): WordProblemOptions {
  const strange = Object.keys(given).find((name) => !Object.hasOwn(WORD_PROBLEM_DEFAULTS, name));
  if (strange !== undefined) {
    const meant = hint(strange, Object.keys(WORD_PROBLEM_DEFAULTS), (name) => `\`wordproblems.${name}\``);
    fail("ERR_INVALID_ARGUMENT", `\`wordproblems.${strange}\`: no such option${meant}`, { option: strange });
  }
  const options = { ...WORD_PROBLEM_DEFAULTS, ...given };
  for (const [name, [low, high]] of Object.entries(RANGES)) {
    const value = options[name as keyof WordProblemOptions];
    if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
      refuse(name, value, `an integer from ${low} to ${high}`);
    }
  }
  if (options.min_steps > options.max_steps) {
    refuse("min_steps", options.min_steps, `at most \`wordproblems.max_steps\`, ${options.max_steps}`);
  }
  if (options.max_total < 2 * options.max_factor) {
    refuse("max_total", options.max_total, `at least twice \`wordproblems.max_factor\`, ${options.max_factor}`);
  }
  const unknown = options.frames.find((name) => !FRAME_NAMES.includes(name));
  if (options.frames.length === 0 || unknown !== undefined) {
    refuse("frames", unknown ?? "none", `one or more of ${FRAME_NAMES.join(", ")}`);
  }
  return options;
}

function refuse(option: string, got: unknown, wanted: string): never {
  return fail("ERR_INVALID_ARGUMENT", `\`wordproblems.${option}\` is ${String(got)}, wanted ${wanted}`, { option });
}
