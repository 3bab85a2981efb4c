// From prompt and completion text to ids, so that training sees exactly what the sampler will have seen: the prompt is
// tokenized alone, the completion after it, one BOS in front, one EOS at the end. Where tokenizing the two together
// would have given other ids, the boundary is reported, not repaired. Templates and losses are NOT known here.
import { fail } from "../errors";
import type { Tokenizer } from "./tokenizer";

/** A prompt's ids and the ids of one completion. The row a model reads is their concatenation. */
export interface EncodedExample {
  readonly promptIds: number[];
  /** Ends in EOS, where the tokenizer has one. */
  readonly completionIds: number[];
  /** Tokenizing prompt + completion as one text gives other ids than these. */
  readonly boundaryMerge: boolean;
}

function countLeading(ids: readonly number[], id: number): number {
  const end = ids.findIndex((value) => value !== id);
  return end < 0 ? ids.length : end;
}

/**
 * Ids of a prompt: exactly one BOS in front if the tokenizer uses one, also when a chat template wrote it already.
 * @throws ERR_INVALID_ARGUMENT when nothing is left to condition on: an empty prompt and no BOS.
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: string): number[] {
  const ids = tokenizer.encode(prompt);
  const { bosId } = tokenizer;
  if (bosId !== null) {
    const leading = countLeading(ids, bosId);
    if (leading > 1) ids.splice(0, leading - 1);
    if (leading === 0 && tokenizer.addsBos) ids.unshift(bosId);
  }
  if (ids.length === 0) {
    fail("ERR_INVALID_ARGUMENT", "the prompt is empty and the tokenizer has no BOS token: a completion needs at least "
      + "one token before it");
  }
  return ids;
}

/** What a chat template writes after the end-of-turn token (a line break) is never sampled: it goes. */
function endAtEos(tokenizer: Tokenizer, ids: number[]): number[] {
  const last = Math.max(-1, ...tokenizer.eosIds.map((id) => ids.lastIndexOf(id)));
  if (last >= 0 && tokenizer.decode(ids.slice(last + 1)).trim() === "") return ids.slice(0, last + 1);
  return tokenizer.eosId === null ? ids : [...ids, tokenizer.eosId];
}

function mergesAtBoundary(tokenizer: Tokenizer, prompt: string, completion: string, separate: number[]): boolean {
  const joint = tokenizer.encode(prompt + completion);
  return joint.length !== separate.length || joint.some((id, index) => id !== separate[index]);
}

/**
 * Encodes a prompt and its completion; the prompt's ids are a true prefix, the same for every completion of it.
 * `appendEos` false leaves the completion open (a sample cut at its length limit).
 * @throws ERR_INVALID_ARGUMENT on an empty prompt without BOS.
 */
export function encodeExample(
  tokenizer: Tokenizer,
  prompt: string,
  completion: string,
  options: { appendEos?: boolean; promptIds?: number[] } = {},
): EncodedExample {
  const promptIds = options.promptIds ?? encodePrompt(tokenizer, prompt);
  const plain = tokenizer.encodeContinuation(completion);
  const completionIds = options.appendEos === false ? plain : endAtEos(tokenizer, plain);
  const separate = [...tokenizer.encode(prompt), ...plain];
  return { promptIds, completionIds, boundaryMerge: mergesAtBoundary(tokenizer, prompt, completion, separate) };
}

/** How many of the examples would have been tokenized otherwise as one text. */
export function countBoundaryMerges(examples: Iterable<EncodedExample>): number {
  let count = 0;
  for (const example of examples) if (example.boundaryMerge) count++;
  return count;
}
