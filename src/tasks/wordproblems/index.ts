// The procedural family as tasks: one in-domain, four that differ from it in kind. No file is read.
// It does NOT know the teacher (see teacher/procedural.ts).

import { type Task, mathTask } from "../task";
import { generateQuestions, wordProblemName } from "./generate";
import { type WordProblemKind, type WordProblemOptions, wordProblemOptions } from "./options";

export { type ChainStyle, CHAIN_STYLES } from "./chain";
export {
  FRAME_NAMES, WORD_PROBLEM_DEFAULTS, WORD_PROBLEM_KINDS, type WordProblemKind, type WordProblemOptions,
  wordProblemOptions,
} from "./options";
export { generateQuestions, wordProblemName } from "./generate";

/** Short, since a small student pays for every token of it. */
export const WORD_PROBLEM_INSTRUCTION = "Solve the problem.";

/** `load` ignores its folder. Kinds other than "base" have no train split: they exist to be out of domain. */
export function wordProblemTask(kind: WordProblemKind, given: Partial<WordProblemOptions> = {}): Task {
  const options = wordProblemOptions(given);
  const task = mathTask({
    name: wordProblemName(kind),
    splits: kind === "base" ? ["train", "validation", "test"] : ["validation", "test"],
    evaluationSplit: "test",
    load: (_, split) => {
      const count = split === "all" ? 0 : options[split];
      return Promise.resolve(generateQuestions(options, kind, split, count));
    },
  }, WORD_PROBLEM_INSTRUCTION);
  return { ...task, input: (question) => question.question };
}
