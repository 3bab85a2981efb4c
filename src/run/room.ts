// Whether the student's positions have room for every prompt and what is to be drawn after it: looked at before the
// hours of training that come before the first draw. It does NOT draw.
import type { Question } from "../data/records";
import { fail } from "../errors";
import type { Task } from "../tasks";
import { encodePrompt } from "../text/prompt";
import type { Tokenizer } from "../text/tokenizer";
import type { RunContext } from "./context";
import type { RunQuestions } from "./questions";
import { asked, promptOf } from "./stages/rows";

interface Draws {
  section: "sample" | "evaluation";
  task: Task;
  questions: readonly Question[];
  /** With the trigger, without it. */
  modes: readonly boolean[];
}

function drawsOf({ config }: RunContext, { task, train, sets }: RunQuestions): Draws[] {
  const { n_cot, n_direct } = config.sample;
  const modes = [...(n_cot > 0 ? [true] : []), ...(n_direct > 0 ? [false] : [])];
  return [
    { section: "sample", task, questions: train, modes },
    ...sets.map((set): Draws => ({ section: "evaluation", ...set, modes: [config.evaluation.trigger] })),
  ];
}

/** @throws ERR_CONFIG naming the first question whose prompt is too long, and the option */
export function expectRoom(
  context: RunContext, tokenizer: Tokenizer, positions: number, questions: RunQuestions,
): void {
  for (const { section, task, questions: some, modes } of drawsOf(context, questions)) {
    const { max_new_tokens: drawn } = context.config[section];
    for (const question of asked(task, some)) {
      for (const trigger of modes) {
        const { length } = encodePrompt(tokenizer, promptOf(context.config, tokenizer, question, trigger));
        if (length + drawn <= positions) continue;
        fail("ERR_CONFIG", `question ${question.id} of ${task.name} is a prompt of ${length} tokens; with `
          + `${section}.max_new_tokens ${drawn} that is more than the student's ${positions} positions; lower it`,
        { id: question.id, option: `${section}.max_new_tokens` });
      }
    }
  }
}
