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

/** Exactly one BOS in front, if the tokenizer uses one: also when a chat template or the text wrote it already. */
function withBos(tokenizer: Tokenizer, ids: readonly number[]): number[] {
  const { bosId } = tokenizer;
  if (bosId === null) return [...ids];
  const leading = countLeading(ids, bosId);
  return leading > 0 || tokenizer.addsBos ? [bosId, ...ids.slice(leading)] : [...ids];
}

/**
 * Ids of a prompt to complete, with exactly one BOS in front if the tokenizer uses one.
 * @param name what messages call it
 * @throws ERR_INVALID_ARGUMENT on an empty prompt: far oftener a fault in the data than the wish for a text from
 *   nothing, which the id of BOS expresses
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: string, name = "the prompt"): number[] {
  if (prompt === "") {
    fail("ERR_INVALID_ARGUMENT", `${name} is empty; for a text from nothing give the ids [BOS] instead of a text`);
  }
  return conditioning(withBos(tokenizer, tokenizer.encode(prompt)));
}

function conditioning(ids: number[]): number[] {
  if (ids.length > 0) return ids;
  return fail("ERR_INVALID_ARGUMENT", "the prompt is empty and the tokenizer has no BOS token: a completion needs at "
    + "least one token before it");
}

/** What a chat template writes after the end-of-turn token (a line break) is never sampled: it goes. */
function endAtEos(tokenizer: Tokenizer, ids: number[]): number[] {
  const last = Math.max(-1, ...tokenizer.eosIds.map((id) => ids.lastIndexOf(id)));
  if (last >= 0 && tokenizer.decode(ids.slice(last + 1)).trim() === "") return ids.slice(0, last + 1);
  return tokenizer.eosId === null ? ids : [...ids, tokenizer.eosId];
}

/** Whether `joint` is anything but `first` followed by `second`. */
function differs(joint: readonly number[], first: readonly number[], second: readonly number[]): boolean {
  return joint.length !== first.length + second.length
    || joint.some((id, index) => id !== (index < first.length ? first[index] : second[index - first.length]));
}

/**
 * Encodes a prompt and its completion; the prompt's ids are a true prefix, the same for every completion of it.
 * `appendEos` false leaves the completion open (a sample cut at its length limit).
 * @throws ERR_INVALID_ARGUMENT on an empty prompt without BOS.
 */
export function encodeExample(
  tokenizer: Tokenizer, prompt: string, completion: string, options: { appendEos?: boolean } = {},
): EncodedExample {
  const before = tokenizer.encode(prompt);
  const after = tokenizer.encodeContinuation(completion);
  return {
    promptIds: conditioning(withBos(tokenizer, before)),
    completionIds: options.appendEos === false ? after : endAtEos(tokenizer, after),
    boundaryMerge: differs(tokenizer.encode(prompt + completion), before, after),
  };
}

/** How many of the examples would have been tokenized otherwise as one text. */
export function countBoundaryMerges(examples: Iterable<EncodedExample>): number {
  let count = 0;
  for (const example of examples) if (example.boundaryMerge) count++;
  return count;
}
