// How messages name options, and what a mistyped word meant. A message puts an option's name between backticks, as the
// API spells it; whoever shows it to a user who typed something else (a flag, a key of a run file) spells it anew.
// It does NOT know any option.
import { SelfRefineError } from "../errors";
import { ELSEWHERE } from "./elsewhere";

const MARKED = /`([a-z][\w.[\]]*)`/g;

export const mark = (name: string): string => `\`${name}\``;

/** The text with each marked name as `nameOf` gives it; undefined leaves the name as it is. */
export function spell(text: string, nameOf: (name: string) => string | undefined): string {
  return text.replace(MARKED, (marked, name: string) => nameOf(name) ?? marked);
}

/** The same of an error: another of its code and details, with the first as its cause. */
export function spellError(error: SelfRefineError, nameOf: (name: string) => string | undefined): SelfRefineError {
  const message = spell(error.message, nameOf);
  return message === error.message ? error : new SelfRefineError(error.code, message, error.details, error);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** The known name nearest to a mistyped one, or the only one that has it as a part ("epochs"), if any. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((option) => ({ option, distance: editDistance(name, option) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  if (best !== undefined && best.distance <= Math.max(2, name.length / 3)) return best.option;
  const whole = known.filter((option) => option.split(/[-_]/).includes(name));
  return whole.length === 1 ? whole[0] : undefined;
}

/** A word may be anything, "constructor" too. */
const calledHere = (word: string): string | undefined => (Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word] : undefined);

/**
 * What an unknown word may have meant: "; did you mean beta?", what trainers elsewhere call by it, or nothing.
 * @param show how a known name is shown
 */
export function hint(word: string, known: readonly string[], show: (name: string) => string = mark): string {
  const elsewhere = calledHere(word.replaceAll("-", "_"));
  if (elsewhere !== undefined) return `; ${elsewhere}`;
  const near = nearestName(word, known);
  return near === undefined ? "" : `; did you mean ${show(near)}?`;
}

/** A value that is none of those an option takes. `option` is its own name, `shown` how the message names it. */
export function noChoice(option: string, got: unknown, known: readonly string[], shown = mark(option)): string {
  const meant = hint(String(got), known, (name) => name);
  const elsewhere = calledHere(`${option}=${String(got)}`);
  return `${shown} is ${JSON.stringify(got)}, wanted one of ${known.join(", ")}`
    + (elsewhere === undefined ? meant : `; ${elsewhere}`);
}
