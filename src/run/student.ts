// The student before the method begins, and the train-side text it is made from. It does NOT instruct it.
import { extname, join } from "node:path";
import { planRead } from "../checkpoint/huggingface";
import { readLlama2c } from "../checkpoint/llama2c";
import type { Demonstration } from "../data/records";
import type { ModelConfig } from "../native";
import { loadTokenizer } from "../text/convert";
import type { Tokenizer } from "../text/tokenizer";
import type { RunContext } from "./context";
import type { RunEvent } from "./events";
import { type ModelRef, tokenizerAt, weightsAt } from "./model-ref";
import { leakTest, type RunQuestions } from "./questions";
import { expectRoom } from "./room";
import { DEMONSTRATIONS_FILE } from "./stages/demos";
import { freshStage, givenStage } from "./stages/base";
import { readOwn } from "./stages/rows";
import { plainTexts, questionRows, tokenizerTexts } from "./stages/texts";
import { tokenizerStage } from "./stages/tokenizer";
import type { StageResult } from "./store";

export interface Student {
  model: ModelRef;
  leakedDocuments: number;
}

/** Config and tokenizer of a model: of an adapter, those that its base has. */
async function readSource(model: ModelRef): Promise<{ config: ModelConfig; tokenizer: Tokenizer }> {
  const weights = await weightsAt(model.directory, model.base);
  const { config } = extname(weights) === ".bin" ? await readLlama2c(weights) : await planRead(weights);
  return { config, tokenizer: await loadTokenizer(await tokenizerAt(model)) };
}

/** @throws what the stages throw */
export async function* studentStages(
  context: RunContext,
  questions: RunQuestions,
  demos: StageResult,
): AsyncGenerator<RunEvent, Student> {
  const scratch = context.config.student.from_scratch;
  if (scratch === undefined) {
    const model = yield* givenStage(context);
    const { config, tokenizer } = await readSource(model);
    expectRoom(context, tokenizer, config.maxPositionEmbeddings, questions);
    return { model, leakedDocuments: 0 };
  }
  const { documents, leaked } = await plainTexts(scratch.pretrain?.data ?? [], leakTest(questions.sets));
  const demonstrations = await readOwn<Demonstration>(join(demos.directory, DEMONSTRATIONS_FILE));
  const texts = tokenizerTexts(
    questions.task,
    questions.train,
    demonstrations,
    documents.map(({ text }) => text),
  );
  const tokenizer = yield* tokenizerStage(context, texts);
  const known = await loadTokenizer(tokenizer.directory);
  expectRoom(context, known, scratch.max_position_embeddings, questions);
  const model = yield* freshStage(context, tokenizer, () => [
    ...documents.map(({ text, name }) => ({ record: { prompt: "", completion: text }, name })),
    ...questionRows(context.config, questions.task, questions.train, known),
  ]);
  return { model, leakedDocuments: leaked };
}
