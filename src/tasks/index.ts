// The registry of benchmarks: the one list of their names.
// It does NOT know where their files lie.

import { noChoice } from "../config/names";
import { fail } from "../errors";
import { commonsenseqa } from "./commonsenseqa";
import { gsm8k } from "./gsm8k";
import { multiarith } from "./multiarith";
import { openbookqa } from "./openbookqa";
import { piqa } from "./piqa";
import { siqa } from "./siqa";
import { svamp } from "./svamp";
import type { Task } from "./task";
import { WORD_PROBLEM_KINDS, type WordProblemOptions, wordProblemName, wordProblemTask } from "./wordproblems";

export type { Task, TaskKind } from "./task";

const FROM_FILES: readonly Task[] = [gsm8k, multiarith, svamp, openbookqa, piqa, commonsenseqa, siqa];

/** Every name `getTask` knows. */
export const TASK_NAMES: readonly string[] = [
  ...FROM_FILES.map((task) => task.name), ...WORD_PROBLEM_KINDS.map(wordProblemName),
];

export interface TaskOptions {
  /** Knobs of the procedural family. */
  wordproblems?: Partial<WordProblemOptions>;
}

/** Errors: ERR_INVALID_ARGUMENT listing the known names. */
export function getTask(name: string, options: TaskOptions = {}): Task {
  const fromFiles = FROM_FILES.find((task) => task.name === name);
  if (fromFiles !== undefined) return fromFiles;
  const kind = WORD_PROBLEM_KINDS.find((one) => wordProblemName(one) === name);
  return kind !== undefined
    ? wordProblemTask(kind, options.wordproblems)
    : fail("ERR_INVALID_ARGUMENT", noChoice("task", name, TASK_NAMES), { task: name });
}

/** Whether a task makes its own questions and needs no folder. */
export function isProcedural(name: string): boolean {
  return WORD_PROBLEM_KINDS.some((kind) => wordProblemName(kind) === name);
}
