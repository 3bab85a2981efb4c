// Stage: a byte-level BPE tokenizer of the train-side text. It does NOT know where the text came from.
import { Tokenizer } from "../../text/tokenizer";
import { trainBpe } from "../../text/bpe-trainer";
import { hashJson } from "../../files";
import type { RunContext } from "../context";
import type { RunEvent } from "../events";
import type { ModelRef } from "../model-ref";
import { pathKey } from "../store";

/** The tokenizer of a fresh student: the folder that was named, or one trained on `texts`. */
export async function* tokenizerStage(
  context: RunContext,
  texts: readonly string[],
): AsyncGenerator<RunEvent, ModelRef> {
  const scratch = context.config.student.from_scratch;
  if (scratch?.tokenizer !== undefined)
    return { key: await pathKey(scratch.tokenizer), directory: scratch.tokenizer };
  const options = { vocabSize: scratch?.vocab_size ?? 0, splitDigits: scratch?.split_digits ?? true };
  const spec = { name: "tokenizer", options, inputs: { texts: hashJson(texts) } };
  const result = yield* context.stage(spec, async function* (work) {
    const { tokenizer, tokenizerConfig } = trainBpe(texts, options);
    const trained = Tokenizer.fromJson(tokenizer, tokenizerConfig);
    await trained.save(work);
    yield { type: "note", stage: "tokenizer", message: `${trained.vocabSize} tokens` };
  });
  return { key: result.key, directory: result.directory };
}
