// Records to ids: renders a record by template or chat template, encodes it, and holds it to a length limit.
// What was truncated or dropped is counted, never silent. It does NOT pack or weigh: see packing.ts.
import { fail } from "../errors";
import { type Message, renderChat } from "../text/chat-template";
import { encodeExample } from "../text/prompt";
import { renderAnswer, renderCompletion, renderPrompt, type TemplateName } from "../text/templates";
import type { Tokenizer } from "../text/tokenizer";
import { type Content, type InstructionRecord, isInstruction, type PairRecord, type SftRecord } from "./formats";
import type { PackedExample, PackedPair } from "./packing";

export type OverlongPolicy = "error" | "truncate" | "drop";

export interface EncodeOptions {
  /** For instruction records. Default alpaca. Other records bring their prompt or use the chat template. */
  readonly template?: TemplateName;
  /** Append the chain-of-thought trigger to instruction prompts. Default false. */
  readonly trigger?: boolean;
  /** Most tokens of prompt + completion, BOS and EOS included. Default: no limit. */
  readonly maxLength?: number;
  /** What becomes of a longer one. `truncate` cuts the completion's end and drops where the prompt leaves no room. */
  readonly overlong?: OverlongPolicy;
}

/** A record and its name for messages: "file:line" or an id. */
export interface Named<T> {
  readonly record: T;
  readonly name: string;
}

interface Provenance {
  readonly name: string;
  readonly boundaryMerge: boolean;
  /** Tokens cut from the end. */
  readonly truncatedTokens: number;
}

export type EncodedSft = PackedExample & Provenance;
/** `truncatedTokens` counts both completions, `rejectedTruncatedTokens` the rejected one's share. */
export type EncodedPair = PackedPair & Provenance & { readonly rejectedTruncatedTokens: number };

export interface Encoded<T> {
  readonly examples: T[];
  readonly truncated: number;
  /** Names of the rows that were left out. */
  readonly dropped: string[];
}

/** Prompt and completion as the text that will be encoded. */
export interface RenderedSft {
  readonly prompt: string;
  readonly completion: string;
}

function renderTurns(tokenizer: Tokenizer, prompt: readonly Message[], completion: readonly Message[]): RenderedSft {
  return {
    prompt: renderChat(tokenizer, prompt, { addGenerationPrompt: true }),
    completion: renderAnswer(tokenizer, prompt, completion),
  };
}

function renderContent(tokenizer: Tokenizer, prompt: Content, completion: Content): RenderedSft {
  if (typeof prompt === "string") return { prompt, completion: completion as string };
  return renderTurns(tokenizer, prompt, completion as readonly Message[]);
}

/** The text of a record. @throws ERR_UNSUPPORTED, ERR_DATA of the chat template */
export function renderSft(
  tokenizer: Tokenizer, record: SftRecord | InstructionRecord, options: EncodeOptions = {},
): RenderedSft {
  if (!isInstruction(record)) return renderContent(tokenizer, record.prompt, record.completion);
  const template = options.template ?? "alpaca";
  const rendering = { trigger: options.trigger ?? false, tokenizer };
  return {
    prompt: renderPrompt(template, record, rendering),
    completion: renderCompletion(template, record, record.output, rendering),
  };
}

/** How many completion tokens may stay; null: leave the row out. */
function roomFor(prompt: number, longest: number, name: string, options: EncodeOptions): number | null {
  const { maxLength, overlong = "error" } = options;
  if (maxLength === undefined || prompt + longest <= maxLength) return longest;
  if (overlong === "error") {
    fail("ERR_DATA", `${name}: ${prompt} prompt + ${longest} completion tokens, the limit is ${maxLength} `
      + "(`max_length`, or the model's positions where those are fewer); raise it, or choose `overlong` truncate or drop",
    { name, prompt, completion: longest, maxLength });
  }
  const room = maxLength - prompt;
  return overlong === "drop" || room < 1 ? null : room;
}

/**
 * Encodes records to learn from; each is one prompt and one completion ending in EOS.
 * @throws ERR_DATA naming the record that is over the limit under the policy `error`
 */
export function encodeSft(
  tokenizer: Tokenizer,
  records: Iterable<Named<SftRecord | InstructionRecord>>,
  options: EncodeOptions = {},
): Encoded<EncodedSft> {
  const examples: EncodedSft[] = [];
  const dropped: string[] = [];
  for (const { record, name } of records) {
    const { prompt, completion } = renderSft(tokenizer, record, options);
    const { promptIds, completionIds, boundaryMerge } = encodeExample(tokenizer, prompt, completion);
    const room = roomFor(promptIds.length, completionIds.length, name, options);
    if (room === null) dropped.push(name);
    else {
      const truncatedTokens = Math.max(0, completionIds.length - room);
      examples.push({ promptIds, completionIds: completionIds.slice(0, room), name, boundaryMerge, truncatedTokens });
    }
  }
  return { examples, dropped, truncated: countTruncated(examples) };
}

function equalIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}

/**
 * Encodes preference pairs; both completions follow the same prompt ids. A pair whose completions differ only in what
 * was cut off is dropped.
 * @throws ERR_DATA naming the pair that is over the limit under the policy `error`, or whose completions are the same
 */
export function encodePairs(
  tokenizer: Tokenizer, records: Iterable<Named<PairRecord>>, options: EncodeOptions = {},
): Encoded<EncodedPair> {
  const examples: EncodedPair[] = [];
  const dropped: string[] = [];
  for (const { record, name } of records) {
    const chosen = renderContent(tokenizer, record.prompt, record.chosen);
    const rejected = renderContent(tokenizer, record.prompt, record.rejected);
    const first = encodeExample(tokenizer, chosen.prompt, chosen.completion);
    const second = encodeExample(tokenizer, rejected.prompt, rejected.completion);
    const { promptIds } = first;
    const longest = Math.max(first.completionIds.length, second.completionIds.length);
    if (equalIds(first.completionIds, second.completionIds)) {
      fail("ERR_DATA", `${name}: "chosen" and "rejected" are the same ${longest} tokens, so nothing is preferred; leave `
        + "the pair out", { name });
    }
    const room = roomFor(promptIds.length, longest, name, options) ?? 0;
    const [chosenIds, rejectedIds] = [first.completionIds.slice(0, room), second.completionIds.slice(0, room)];
    if (equalIds(chosenIds, rejectedIds)) dropped.push(name);
    else {
      const cut = (ids: number[]) => Math.max(0, ids.length - room);
      examples.push({
        promptIds, name, chosenIds, rejectedIds,
        boundaryMerge: first.boundaryMerge || second.boundaryMerge,
        truncatedTokens: cut(first.completionIds) + cut(second.completionIds),
        rejectedTruncatedTokens: cut(second.completionIds),
      });
    }
  }
  return { examples, dropped, truncated: countTruncated(examples) };
}

function countTruncated(examples: readonly Provenance[]): number {
  return examples.filter((example) => example.truncatedTokens > 0).length;
}
