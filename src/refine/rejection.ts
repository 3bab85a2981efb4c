// Rejection-sampling fine-tuning, the control of the second phase: is the gain due to preferences, or merely
// to more right chains? Right paths of the student become demonstrations, one for each distinct list of
// equations (Yuan et al. 2023); of several with one list, the one farthest in edit distance from those
// already taken. It does NOT train.

import type { Demonstration, PreferencePair, Question, SampledPath } from "../data/records";
import type { Task } from "../tasks/task";
import { equationKey, statedEquations } from "./equations";
import { groupById, scorePath } from "./reward";
import { distinct, editDistance, plainText, tokensOf } from "./similarity";

export interface RejectionOptions {
  /** At most so many paths of a question. */
  max_per_question: number;
  /** Leave out paths that state a false equation, however they end. */
  check_equations: boolean;
}

export interface RejectionReport {
  questions: number;
  covered: number;
  samples: number;
  correct: number;
  /** Right in the end, with a false equation on the way. */
  false_equations: number;
  duplicates: number;
  kept: number;
}

/** Right reasoned paths as demonstrations, in the order of the questions. */
export function rejectionSample(
  task: Task, questions: readonly Question[], paths: readonly SampledPath[], targets: ReadonlyMap<string, string>,
  { max_per_question = 10, check_equations = true }: Partial<RejectionOptions> = {},
): { demonstrations: Demonstration[]; report: RejectionReport } {
  const byId = groupById(paths.filter((path) => path.mode === "cot"));
  const report: RejectionReport = {
    questions: questions.length, covered: 0, samples: 0, correct: 0, false_equations: 0, duplicates: 0, kept: 0,
  };
  const demonstrations: Demonstration[] = [];
  for (const question of questions) {
    const target = targets.get(question.id);
    if (target === undefined) continue;
    const scored = (byId.get(question.id) ?? []).map((path) => scorePath(task, question, path, target));
    const right = scored.filter((path) => path.correct === true && path.finish_reason === "stop");
    const sound = right.filter((path) => !check_equations || allHold(path.completion));
    const kept = onePerEquationList(sound).slice(0, max_per_question);
    report.samples += scored.length;
    report.correct += scored.filter((path) => path.correct === true).length;
    report.false_equations += right.length - sound.length;
    report.duplicates += sound.length - kept.length;
    report.kept += kept.length;
    report.covered += Number(kept.length > 0);
    demonstrations.push(...kept.map((path) => asDemonstration(task, question, path)));
  }
  return { demonstrations, report };
}

export interface ChosenCompletion {
  id: string;
  task: string;
  prompt: string;
  completion: string;
}

/**
 * The chosen sides alone, the other control: fine-tuning on what the pairs prefer. Each once, or else as often as
 * it is chosen: then it differs from the preference training in nothing but the loss.
 */
export function chosenCompletions(pairs: readonly PreferencePair[], once = true): ChosenCompletion[] {
  const records = pairs.map(({ id, task, prompt, chosen }) => ({ id, task, prompt, completion: chosen }));
  return once ? distinct(records, (record) => `${record.prompt}\u0000${record.completion}`) : records;
}

function allHold(text: string): boolean {
  return statedEquations(text).every((equation) => equation.holds);
}

/** Chains without equations are told apart by their text. */
function onePerEquationList(paths: readonly SampledPath[]): SampledPath[] {
  const groups = new Map<string, SampledPath[]>();
  for (const path of paths) {
    const key = equationKey(path.completion) || plainText(path.completion);
    groups.set(key, [...groups.get(key) ?? [], path]);
  }
  const taken: string[][] = [];
  return [...groups.values()].map((group) => {
    const farthest = distinct(group, (path) => path.completion)
      .map((path) => ({ path, tokens: tokensOf(path.completion) }))
      .map((one) => ({ ...one, distance: Math.min(...taken.map((tokens) => editDistance(tokens, one.tokens))) }))
      .reduce((best, one) => (one.distance > best.distance ? one : best));
    taken.push(farthest.tokens);
    return farthest.path;
  });
}

function asDemonstration(task: Task, question: Question, path: SampledPath): Demonstration {
  return {
    id: question.id,
    task: task.name,
    instruction: path.instruction,
    input: path.input,
    output: path.completion.trim(),
    target: path.answer,
    gold: question.gold,
    correct: path.answer !== null && task.equal(path.answer, question.gold),
    teacher: path.model ?? "student",
    answer_first: null,
  };
}
