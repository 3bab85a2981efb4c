// Instruction-tuning: the mean cross-entropy of completion tokens, exact under any cut of a step into micro-batches.
// It does NOT know templates, tasks or files: rows come as prompt and completion.
import { sftRules } from "../config/effects";
import { sftOptions, type SftOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { encodeSft, type Encoded, type EncodedSft } from "../data/encode";
import { parseSftRecord, type InstructionRecord, type SftRecord } from "../data/formats";
import { exampleRows, expectRoom, packSft, type PackedExample } from "../data/packing";
import { fail } from "../errors";
import { hashJson } from "../files";
import type { Model } from "../model";
import type { TokenSums } from "../native";
import { expectMemory } from "../plan/memory";
import { rowLengths, sftCapacity, trainingJob } from "../plan/work";
import type { SftEvent, SftStepEvent } from "./events";
import { identityOf, isEncoded, optimize, type GroupResult, type LoopStep, type TrainingControl } from "./loop";
import { addTokens, noTokens, TrainingSession } from "./session";

/** Records of text, or what encodeSft made of them (already held to a length). */
export type SftData = readonly (SftRecord | InstructionRecord)[] | Encoded<EncodedSft>;

function encode(model: Model, data: SftData, options: SftOptions): Encoded<EncodedSft> {
  if (isEncoded(data)) return data;
  const named = data.map((row, index) => ({ record: parseSftRecord(row, `row ${index}`), name: `row ${index}` }));
  return encodeSft(model.tokenizer, named, {
    maxLength: model.longestRow(options.max_length), overlong: options.overlong,
  });
}

interface SftGroupResult extends GroupResult {
  scored: TokenSums;
}

/** Packs `rows`; what is returned adds the gradient of the mean loss over their scored tokens. */
function pack(
  session: TrainingSession, rows: readonly PackedExample[], options: SftOptions,
): () => Promise<SftGroupResult> {
  const rowTokens = rows.reduce((sum, row) => sum + row.promptIds.length + row.completionIds.length, 0);
  const result: SftGroupResult = { loss: 0, rowTokens, scoredTokens: 0, inputTokens: 0, scored: noTokens() };
  const batches = packSft(rows, options.micro_batch_tokens, { promptLoss: !options.completion_only_loss });
  const turns = session.inTurn(batches, (size) => session.sft(size));
  return async () => {
    for await (const done of turns) {
      result.loss += done.result.loss;
      addTokens(result.scored, done.result.scored);
      result.scoredTokens += done.batch.scoredTokens;
      result.inputTokens += done.batch.size.tokens;
    }
    return result;
  };
}

/** Means over some tokens of what TRL logs of them. A sum over micro-batches is divided once, so no cut shows. */
export function tokenMeans({ tokens, entropy, correct }: TokenSums): { entropy: number; mean_token_accuracy: number } {
  const count = Math.max(1, tokens);
  return { entropy: entropy / count, mean_token_accuracy: correct / count };
}

/** The part of a step's event that every loss has. */
export function stepEvent(step: LoopStep<GroupResult>): Omit<SftStepEvent, keyof ReturnType<typeof tokenMeans>> {
  return {
    type: "step",
    step: step.step,
    total_steps: step.totalSteps,
    epoch: step.epoch,
    loss: step.result.loss,
    learning_rate: step.learningRate,
    grad_norm: step.gradNorm,
    num_tokens: step.numTokens,
    num_scored_tokens: step.result.scoredTokens,
    num_input_tokens: step.result.inputTokens,
    seconds: step.seconds,
  };
}

/**
 * Trains `model` in place; one event per optimizer step. A slow consumer holds the training back.
 * @throws ERR_CONFIG, ERR_DATA naming a row that is too long, ERR_OUT_OF_MEMORY; the signal's reason when aborted
 */
export async function* sft(
  model: Model, data: SftData, options: Partial<SftOptions> = {}, control: TrainingControl = {},
): AsyncGenerator<SftEvent, void, undefined> {
  const parsed = parseOptions(sftOptions, options, "sft", sftRules);
  const { examples, dropped, truncated } = encode(model, data, parsed);
  if (examples.length === 0) fail("ERR_DATA", `no rows to train on (${dropped.length} were too long)`);
  expectRoom(examples, parsed.micro_batch_tokens);
  model.expectTrainable();
  const lengths = rowLengths(examples.map(exampleRows));
  expectMemory(model, trainingJob("sft", parsed.micro_batch_tokens, lengths));
  const session = new TrainingSession(model, sftCapacity(parsed.micro_batch_tokens));
  try {
    let steps = 0;
    for await (const step of optimize({
      session,
      count: examples.length,
      options: parsed,
      identity: async () => ({
        loss: "sft",
        model: await identityOf(model),
        data: hashJson(examples.map(({ promptIds, completionIds }) => [promptIds, completionIds])),
      }),
      pack: (group) => pack(session, group.map((index) => examples[index]!), parsed),
    }, control)) {
      steps = step.totalSteps;
      yield { ...stepEvent(step), ...tokenMeans(step.result.scored) };
    }
    yield { type: "trained", steps, dropped: dropped.length, truncated };
  } finally {
    session.dispose();
  }
}
