// What one record of a training file may look like: the schemas of TRL (prompt/completion, prompt/chosen/rejected,
// messages; each as text or as lists of messages) and of Alpaca (instruction/input/output), checked field by field.
// It does NOT render templates or tokenize: see encode.ts.
import { fail } from "../errors";
import type { Message } from "../text/chat-template";
import { isObject, type JsonObject } from "../text/tokenizer-files";

/** Text, or turns of a conversation. In one record all fields are of the same form. */
export type Content = string | readonly Message[];

/** A prompt and what is to be learned after it. */
export interface SftRecord {
  readonly prompt: Content;
  readonly completion: Content;
}

/** Alpaca's three fields; a template makes prompt and completion of them. */
export interface InstructionRecord {
  readonly instruction: string;
  readonly input: string;
  readonly output: string;
}

/** A preference pair. */
export interface PairRecord {
  readonly prompt: Content;
  readonly chosen: Content;
  readonly rejected: Content;
}

/** Where a record stands, for messages: "file:line". */
export type Place = string;

function wrong(place: Place, field: string, wanted: string, got: unknown): never {
  const shown = got === undefined ? "nothing" : JSON.stringify(got).slice(0, 80);
  return fail("ERR_DATA", `${place}: field "${field}": ${wanted} is wanted, got ${shown}`, { place, field });
}

function asRecord(value: unknown, place: Place): JsonObject {
  return isObject(value) ? value : fail("ERR_DATA",
    `${place}: a JSON object is wanted, got ${JSON.stringify(value)?.slice(0, 80)}`, { place });
}

function text(record: JsonObject, field: string, place: Place): string {
  const value = record[field];
  return typeof value === "string" ? value : wrong(place, field, "a string", value);
}

function asMessages(value: unknown, field: string, place: Place): readonly Message[] {
  if (!Array.isArray(value)) return wrong(place, field, "a list of messages", value);
  value.forEach((message: unknown, index) => {
    const name = `${field}[${index}]`;
    if (!isObject(message)) wrong(place, name, "a message {role, content}", message);
    if (typeof message.role !== "string") wrong(place, `${name}.role`, "a string", message.role);
    if (typeof message.content !== "string") wrong(place, `${name}.content`, "a string", message.content);
  });
  return value as Message[];
}

function content(record: JsonObject, field: string, place: Place): Content {
  const value = record[field];
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return asMessages(value, field, place);
  return wrong(place, field, "a string or a list of messages", value);
}

function sameForm(record: JsonObject, fields: readonly string[], place: Place): void {
  const [first, ...rest] = fields as [string, ...string[]];
  const odd = rest.find((field) => Array.isArray(record[field]) !== Array.isArray(record[first]));
  if (odd !== undefined) {
    fail("ERR_DATA", `${place}: fields "${first}" and "${odd}" are of two forms, text and messages; use one for both`,
      { place, field: odd });
  }
}

/** The last assistant turn is what is learned; all before it is the prompt. */
function splitMessages(messages: readonly Message[], field: string, place: Place): SftRecord {
  if (messages.at(-1)?.role !== "assistant") {
    wrong(place, field, "a conversation that ends with the assistant's turn", messages.at(-1)?.role);
  }
  if (messages.length < 2) wrong(place, field, "at least one turn before the assistant's", messages.length);
  return { prompt: messages.slice(0, -1), completion: messages.slice(-1) };
}

/**
 * A record to learn from: {prompt, completion}, {messages}, {instruction, input?, output} or {text}, which is all
 * completion. @throws ERR_DATA naming place and field.
 */
export function parseSftRecord(value: unknown, place: Place): SftRecord | InstructionRecord {
  const record = asRecord(value, place);
  if ("completion" in record) {
    const parsed = { prompt: content(record, "prompt", place), completion: content(record, "completion", place) };
    sameForm(record, ["prompt", "completion"], place);
    return parsed;
  }
  if ("messages" in record) return splitMessages(asMessages(record.messages, "messages", place), "messages", place);
  if ("instruction" in record) {
    const input = record.input === undefined || record.input === null ? "" : text(record, "input", place);
    return { instruction: text(record, "instruction", place), input, output: text(record, "output", place) };
  }
  if ("text" in record) return { prompt: "", completion: text(record, "text", place) };
  const pair = "chosen" in record && "rejected" in record ? ": a preference pair, which is for dpo" : "";
  return fail("ERR_DATA", `${place}: none of {prompt, completion}, {messages}, {instruction, input, output}, {text}; `
    + `the record has ${Object.keys(record).join(", ") || "no fields"}${pair}`, { place });
}

export function isInstruction(record: SftRecord | InstructionRecord): record is InstructionRecord {
  return "instruction" in record;
}

function commonMessages(chosen: readonly Message[], rejected: readonly Message[]): number {
  const limit = Math.min(chosen.length, rejected.length);
  for (let i = 0; i < limit; i++) {
    if (chosen[i]!.role !== rejected[i]!.role || chosen[i]!.content !== rejected[i]!.content) return i;
  }
  return limit;
}

function commonCharacters(chosen: string, rejected: string): number {
  let end = 0;
  while (end < chosen.length && end < rejected.length && chosen[end] === rejected[end]) end++;
  // The space belongs to what follows, for tokenizers join it to the next word; half a surrogate pair to none.
  if (chosen[end - 1] === " ") end--;
  else if (/[\uD800-\uDBFF]/.test(chosen[end - 1] ?? "")) end--;
  return end;
}

/** A pair of equals prefers nothing: its gradient is 0 and its margin stays 0. */
function checkDifferent(chosen: Content, rejected: Content, place: Place): void {
  const same = typeof chosen === "string" ? chosen === rejected
    : chosen.length === rejected.length && commonMessages(chosen, rejected as readonly Message[]) === chosen.length;
  if (same) {
    fail("ERR_DATA", `${place}: "chosen" and "rejected" are the same, so nothing is preferred; leave the pair out`,
      { place });
  }
}

/** The implicit prompt is what both begin with (TRL, extract_prompt). */
function withImplicitPrompt(chosen: Content, rejected: Content, place: Place): PairRecord {
  const shared = typeof chosen === "string"
    ? commonCharacters(chosen, rejected as string)
    : commonMessages(chosen, rejected as readonly Message[]);
  if (shared === chosen.length || shared === rejected.length) {
    fail("ERR_DATA", `${place}: no prompt is given and one of "chosen" and "rejected" is the beginning of the other, `
      + "so that no completion is left; give the prompt in a field of its own", { place });
  }
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

/**
 * A preference pair {prompt?, chosen, rejected}; without a prompt the shared beginning is taken for it.
 * @throws ERR_DATA naming place and field.
 */
export function parsePairRecord(value: unknown, place: Place): PairRecord {
  const record = asRecord(value, place);
  if (!("chosen" in record || "rejected" in record)) {
    fail("ERR_DATA", `${place}: no preference pair: {prompt, chosen, rejected} is wanted, the record has `
      + `${Object.keys(record).join(", ") || "no fields"}; records to imitate are for sft, and pairs are made by selfrefine `
      + "sample and then selfrefine pairs", { place, field: "chosen" });
  }
  const chosen = content(record, "chosen", place);
  const rejected = content(record, "rejected", place);
  sameForm(record, ["chosen", "rejected"], place);
  checkDifferent(chosen, rejected, place);
  if (record.prompt === undefined || record.prompt === null) return withImplicitPrompt(chosen, rejected, place);
  const prompt = content(record, "prompt", place);
  sameForm(record, ["prompt", "chosen"], place);
  return { prompt, chosen, rejected };
}
