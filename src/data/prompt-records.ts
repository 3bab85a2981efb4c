// A record to complete: a prompt as text or as messages, with whatever other fields it has. It does NOT
// render.
import { fail } from "../errors";
import type { Message } from "../text/chat-template";
import { isObject } from "../text/tokenizer-files";
import type { Place } from "./formats";

export interface PromptRecord {
  readonly prompt: string | readonly Message[];
  /** The record as it stood, so that its own fields go on with the completion. */
  readonly record: Readonly<Record<string, unknown>>;
}

function isMessage(value: unknown): value is Message {
  return isObject(value) && typeof value.role === "string" && typeof value.content === "string";
}

/** @throws ERR_DATA naming the place and what stood there */
export function parsePromptRecord(value: unknown, place: Place): PromptRecord {
  const prompt = isObject(value) ? (value.prompt ?? value.messages) : undefined;
  const isText = typeof prompt === "string" && prompt !== "";
  if (isText || (Array.isArray(prompt) && prompt.length > 0 && prompt.every(isMessage))) {
    return { prompt: prompt as string | readonly Message[], record: value as Record<string, unknown> };
  }
  return fail(
    "ERR_DATA",
    `${place}: field "prompt": a text that is not empty, or a list of messages, is wanted, got ` +
      (JSON.stringify(prompt)?.slice(0, 80) ?? "nothing"),
    { place, field: "prompt" },
  );
}
