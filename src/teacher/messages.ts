// The text of a prompt or completion that may be a string or a list of chat messages.
// It does NOT apply chat templates: several messages of the wanted role are joined by blank lines.

import { fail } from "../errors";

/** Errors: ERR_DATA when it is neither, or no message has the role. */
export function messageText(value: unknown, role: "user" | "assistant", where: string): string {
  if (typeof value === "string" && value.trim() !== "") return value.trim();
  const texts = Array.isArray(value) ? value.flatMap((message) => contentOf(message, role)) : [];
  if (texts.length > 0) return texts.join("\n\n").trim();
  return fail("ERR_DATA", `${where}: got ${JSON.stringify(value)?.slice(0, 60) ?? "nothing"}, wanted a text or a list of `
    + `{role, content} with role "${role}"`);
}

function contentOf(message: unknown, role: string): string[] {
  const { role: own, content } = (message ?? {}) as { role?: unknown; content?: unknown };
  return own === role && typeof content === "string" ? [content] : [];
}
