// Markup that is safe by construction: whatever is put into a template is escaped unless it is markup itself.
// It does NOT know what is reported.

/** Text that is markup already. Made by `html` alone. */
export class Html {
  constructor(readonly text: string) {}
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  // Control characters are no part of HTML; a model may well write them.
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "\ufffd")
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign]!);
}

export type Part = string | number | Html | undefined | false | readonly Part[];

function render(part: Part): string {
  if (part === undefined || part === false) return "";
  if (typeof part === "string" || typeof part === "number") return escapeHtml(String(part));
  return part instanceof Html ? part.text : part.map(render).join("");
}

/** A template of markup: text put in is escaped, markup and lists of it are not. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    strings.reduce((all, text, index) => all + text + (index < parts.length ? render(parts[index]) : ""), ""),
  );
}
