// Demonstrations, samples and pairs as rows for training: rendered by the run's template, encoded, named for
// messages. It does NOT train.
import type { RunConfig } from "../../config/run-options";
import { readRecords } from "../../data/table";
import { encodePairs, type Encoded, type EncodedPair, type EncodedSft, encodeSft } from "../../data/encode";
import type { Demonstration, PreferencePair, Question } from "../../data/records";
import type { Model } from "../../model";
import type { Asked } from "../../refine/sample-paths";
import type { Task } from "../../tasks";
import { renderPrompt } from "../../text/templates";
import type { Tokenizer } from "../../text/tokenizer";

/** The records of a file that a stage of ours wrote. @throws ERR_IO, ERR_DATA */
export async function readOwn<T>(path: string): Promise<T[]> {
  return (await readRecords(path)) as T[];
}

export function encodeDemonstrations(
  model: Model,
  demonstrations: readonly Demonstration[],
  run: RunConfig,
): Encoded<EncodedSft> {
  const named = demonstrations.map(({ id, instruction, input, output }) => ({
    record: { instruction, input, output },
    name: id,
  }));
  return encodeSft(model.tokenizer, named, {
    template: run.template,
    trigger: run.demonstration_trigger,
    maxLength: model.longestRow(run.sft.max_length),
    overlong: run.sft.overlong,
  });
}

export function encodePreferences(
  model: Model,
  pairs: readonly PreferencePair[],
  run: RunConfig,
): Encoded<EncodedPair> {
  const named = pairs.map((record) => ({ record, name: record.id }));
  return encodePairs(model.tokenizer, named, {
    maxLength: model.longestRow(run.dpo.max_length),
    overlong: run.dpo.overlong,
  });
}

/** How a question is put to the student of this run. */
export function promptOf(
  run: RunConfig,
  tokenizer: Tokenizer,
  asked: Pick<Asked, "instruction" | "input">,
  trigger: boolean,
): string {
  return renderPrompt(run.template, asked, { trigger, tokenizer });
}

/** Questions as they are put to a student. */
export function asked(task: Task, questions: readonly Question[]): Asked[] {
  return questions.map((question) => ({
    id: question.id,
    task: task.name,
    instruction: task.instruction(question),
    input: task.input(question),
  }));
}
