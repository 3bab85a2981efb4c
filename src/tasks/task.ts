// What a benchmark is: where its questions come from, how they are put, how an answer is read and compared.
// Two kinds share everything but their loading: math (a number) and choice (a letter).
// It does NOT know models, templates or prompts with a trigger (see prompt.ts).

import { fail } from "../errors";
import type { Question, Split } from "../data/records";
import { type Choice, choiceLines, labelList } from "./choice";
import { readChoice } from "./extract-choice";
import { equalNumbers, readNumber } from "./extract-number";

export type TaskKind = "math" | "choice";

export interface Task {
  readonly name: string;
  readonly kind: TaskKind;
  /** Splits that exist with gold answers. */
  readonly splits: readonly Split[];
  /** The one customarily evaluated on. */
  readonly evaluationSplit: Split;
  /** The line that says what to do. */
  instruction(question: Question): string;
  /** The question as the student sees it; never holds the gold answer or the trigger. */
  input(question: Question): string;
  /** Questions of a split, in file order. `dir` is the benchmark's own folder. Errors: ERR_IO, ERR_DATA. */
  load(dir: string, split: Split): Promise<Question[]>;
  /** The final answer in normal form, or null; never guesses. */
  extract(completion: string, question: Question): string | null;
  /** The same, only where the text says so explicitly ("The answer is ..."). */
  explicit(text: string, question: Question): string | null;
  equal(a: string, b: string): boolean;
}

/** What one benchmark adds to its kind. */
export interface TaskSource {
  name: string;
  splits: readonly Split[];
  evaluationSplit: Split;
  load(dir: string, split: Split): Promise<Question[]>;
}

export const MATH_INSTRUCTION = "Answer the following mathematical question with a numerical solution.";

/** A task whose answer is a number. */
export function mathTask(source: TaskSource, instruction: string = MATH_INSTRUCTION): Task {
  return {
    ...source,
    kind: "math",
    load: checkedLoad(source),
    instruction: () => instruction,
    input: (question) => `Question: ${question.question}`,
    extract: (completion) => readNumber(completion)?.answer ?? null,
    explicit: (text) => {
      const read = readNumber(text);
      return read?.rule === "marker" ? read.answer : null;
    },
    equal: equalNumbers,
  };
}

/** A task whose answer is the letter of an option. */
export function choiceTask(source: TaskSource): Task {
  return {
    ...source,
    kind: "choice",
    load: checkedLoad(source),
    instruction: (question) => `Choose the answer to the question only from options ${labelList(choicesOf(question))}.`,
    input: (question) => `Question: ${question.question}\nChoices:\n${choiceLines(choicesOf(question))}`,
    extract: (completion, question) => readChoice(completion, choicesOf(question))?.label ?? null,
    explicit: (text, question) => {
      const read = readChoice(text, choicesOf(question));
      return read?.rule === "marker" || read?.rule === "marker_text" ? read.label : null;
    },
    equal: (a, b) => a === b,
  };
}

/** Refuses a split that does not exist before any file is looked for. */
function checkedLoad(source: TaskSource): Task["load"] {
  return async (dir, split) => {
    if (!source.splits.includes(split)) {
      fail("ERR_INVALID_ARGUMENT", `${source.name} has no split "${split}" with gold answers; it has `
        + source.splits.join(", "), { task: source.name, split });
    }
    return source.load(dir, split);
  };
}

function choicesOf(question: Question): Choice[] {
  return question.choices
    ?? fail("ERR_DATA", `question ${question.id} of ${question.task} has no choices`, { id: question.id });
}
