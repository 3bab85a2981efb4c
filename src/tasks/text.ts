// Plain-text helpers that extraction, de-duplication and leakage share, so that "the same text" means one
// thing. It does NOT know tasks, answers or tokens of a model.

/** Lower case, Unicode NFKC, every run of anything but letters and digits becomes one space. */
export function normalizeText(text: string): string {
  return text.normalize("NFKC").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

/** Words of the normalised text. */
export function words(text: string): string[] {
  const normal = normalizeText(text);
  return normal === "" ? [] : normal.split(" ");
}

/**
 * Sentences and lines, trimmed; a dot inside a number ("3.5") ends nothing. Pieces without a letter or digit
 * vanish.
 */
export function sentences(text: string): string[] {
  return text
    .split(/(?<=[.!?]["'”’)\]*]*)\s+|\n+/u)
    .map((piece) => piece.trim())
    .filter((piece) => /[\p{L}\p{N}]/u.test(piece));
}

/**
 * A weak student often answers and then goes on to invent the next question. What follows the first line that opens
 * a new question or prompt section belongs to no answer.
 */
export function cutRunOn(completion: string): string {
  const text = completion.trim();
  const next = /\n\s*(?:(?:Q|Question|Problem|Input|Instruction)\s*:|###\s*[A-Z])/u.exec(text);
  return next === null || next.index === 0 ? text : text.slice(0, next.index).trimEnd();
}

/** The text stops in mid-sentence: no closing mark at its end, as when a token limit was hit. */
export function isCutOff(text: string): boolean {
  const end = text.trimEnd();
  return end !== "" && !/[.!?…:;][\s"'”’)\]*`]*$|[\])}>%]$|\d$/u.test(end);
}
