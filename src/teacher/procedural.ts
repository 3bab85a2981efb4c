// The programmatic teacher of the word problems: writes the chain in one of several wordings and, at a stated
// rate, errs as teachers do. An error is one of three kinds and is carried through the rest of the chain, so
// that a wrong chain is coherent and ends in a wrong answer. It does NOT make questions, and sees them only
// as records.

import type { Question } from "../data/records";
import { fail } from "../errors";
import { KeyedRandom } from "../tasks/random";
import {
  CHAIN_STYLES, type ChainStyle, type Equation, REASON_FIRST_STYLES, answerText, chainText,
  equationsOf, parseEquations,
} from "../tasks/wordproblems/chain";
import { type Operation, type Step, applyStep } from "../tasks/wordproblems/plan";
import type { TeacherAnswer } from "./answers";

export interface ProceduralTeacherOptions {
  seed: number;
  /** Share of wrong demonstrations. */
  error_rate: number;
  /** Wordings, drawn evenly. */
  styles: readonly ChainStyle[];
  /** Demonstrations of each question; each is right or wrong by a draw of its own. */
  per_question: number;
}

export const PROCEDURAL_TEACHER_DEFAULTS: Readonly<ProceduralTeacherOptions> = {
  seed: 0, error_rate: 0.1, styles: REASON_FIRST_STYLES, per_question: 1,
};

/** "slip": a miscalculation; "operation": the wrong one; "dropped": a step left out. */
export type ErrorKind = "slip" | "operation" | "dropped";

/**
 * Chains for each question. Errors: ERR_INVALID_ARGUMENT on options, ERR_DATA on a question of another
 * family.
 */
export function proceduralAnswers(
  questions: readonly Question[], given: Partial<ProceduralTeacherOptions> = {},
): TeacherAnswer[] {
  const options = checked({ ...PROCEDURAL_TEACHER_DEFAULTS, ...given });
  return questions.flatMap((question) => Array.from({ length: options.per_question }, (_, draw) =>
    teach(question, options, new KeyedRandom(options.seed, "teacher", question.id, draw))));
}

/** The bare right answers ("The answer is 14."): what a student knows that never saw a chain. */
export function directAnswers(questions: readonly Question[]): TeacherAnswer[] {
  return questions.map((question) => ({
    question: question.question, output: answerText(question.gold), teacher: "procedural/direct",
    gold: question.gold, where: question.id,
  }));
}

function checked(options: ProceduralTeacherOptions): ProceduralTeacherOptions {
  const wrong = (option: string, got: unknown, wanted: string): never =>
    fail("ERR_INVALID_ARGUMENT", `\`teacher.${option}\` is ${String(got)}, wanted ${wanted}`, { option });
  const { error_rate, styles, per_question } = options;
  if (!(error_rate >= 0 && error_rate <= 1)) wrong("error_rate", error_rate, "a share from 0 to 1");
  if (!Number.isInteger(per_question) || per_question < 1) wrong("per_question", per_question, "an integer from 1");
  const unknown = styles.find((style) => !CHAIN_STYLES.includes(style));
  if (styles.length === 0 || unknown !== undefined) {
    wrong("styles", unknown ?? "none", `one or more of ${CHAIN_STYLES.join(", ")}`);
  }
  return options;
}

function teach(question: Question, options: ProceduralTeacherOptions, random: KeyedRandom): TeacherAnswer {
  const right = parseEquations(question.rationale ?? "");
  if (right.length === 0) {
    fail("ERR_DATA", `${question.id}: no solution to teach from; the procedural teacher answers the questions of the `
      + "wordproblems tasks only", { id: question.id });
  }
  const errs = random.uniform() < options.error_rate;
  const style = random.pick(options.styles);
  const chain = errs ? wrongChain(right, random) : right;
  return {
    question: question.question, output: chainText(chain, style), teacher: `procedural/${style}`,
    gold: question.gold, where: question.id,
  };
}

const SLIPS = [-10, -2, -1, 1, 2, 10] as const;
const MISTAKEN: Readonly<Record<Operation, Operation>> = {
  add: "subtract", subtract: "add", multiply: "add", divide: "subtract",
};

/** A chain of whole positive numbers that ends elsewhere; drawn again until it is one. */
function wrongChain(right: readonly Equation[], random: KeyedRandom): Equation[] {
  const answer = right.at(-1)?.result;
  for (let draw = 0; draw < 100; draw++) {
    const chain = errIn(right, random.below(right.length), random.pick(["slip", "operation", "dropped"] as const), random);
    const whole = chain.every((one) => Number.isInteger(one.result) && one.result > 0);
    if (whole && chain.length > 0 && chain.at(-1)?.result !== answer) return chain;
  }
  // A slip upwards in the last step always is one.
  return right.map((one, index) => (index === right.length - 1 ? { ...one, result: one.result + 1 } : one));
}

function errIn(right: readonly Equation[], at: number, kind: ErrorKind, random: KeyedRandom): Equation[] {
  const start = right[0]?.left ?? 0;
  if (kind === "dropped") return equationsOf(start, right.filter((_, index) => index !== at));
  const before = right.slice(0, at);
  const here = right[at] as Equation;
  const operation = kind === "operation" ? MISTAKEN[here.operation] : here.operation;
  const step: Step = { operation, operand: here.operand };
  const result = applyStep(here.left, step) + (kind === "slip" ? random.pick(SLIPS) : 0);
  return [...before, { ...step, left: here.left, result }, ...equationsOf(result, right.slice(at + 1))];
}
