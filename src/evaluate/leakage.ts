// Evaluation questions that training has seen: the same text but for case, spacing and punctuation, or a long run
// of words in common (13-grams, Brown et al. 2020). Any text that is trained on can be given: questions,
// demonstrations, pairs. It does NOT remove anything.

import { fail } from "../errors";
import { normalizeText, words } from "../tasks/text";

/** A text to compare, with the name it is reported by. */
export interface LabelledText {
  id: string;
  text: string;
}

export interface Leak {
  id: string;
  /** Id of the first training text that matches. */
  train_id: string;
  kind: "exact" | "ngram";
  /** The shared run of words; the whole text when exact. */
  shared: string;
  /** Equal to the last character, not only in normal form. */
  verbatim: boolean;
}

export interface LeakageReport {
  train: number;
  evaluated: number;
  /** Words of a run. */
  n: number;
  /** Evaluation texts that equal a training text. */
  exact: number;
  /** The same, each text counted once. */
  exact_distinct: number;
  /** Of those, the texts that recur to the last character. */
  verbatim_distinct: number;
  /** Evaluation texts that share a run of n words and are not equal. */
  ngram: number;
  leaks: Leak[];
}

/** Errors: ERR_INVALID_ARGUMENT when n is no integer from 2. */
export function findLeaks(
  train: readonly LabelledText[], evaluated: readonly LabelledText[], n = 13,
): LeakageReport {
  if (!Number.isInteger(n) || n < 2) fail("ERR_INVALID_ARGUMENT", `leakage: n is ${n}, wanted an integer from 2`);
  const verbatim = new Set(train.map((one) => one.text.trim()));
  const exact = new Map<string, string>();
  const runs = new Map<string, string>();
  for (const { id, text } of train) {
    keepFirst(exact, normalizeText(text), id);
    for (const run of ngrams(text, n)) keepFirst(runs, run, id);
  }
  const same = new Set<string>();
  const leaks = evaluated.flatMap((one) => {
    const text = one.text.trim();
    return findLeak(one, exact, runs, n).map((leak) => {
      if (leak.kind === "exact" && verbatim.has(text)) same.add(text);
      return { ...leak, verbatim: verbatim.has(text) };
    });
  });
  const equal = leaks.filter((leak) => leak.kind === "exact");
  return {
    train: train.length, evaluated: evaluated.length, n,
    exact: equal.length, exact_distinct: new Set(equal.map((leak) => leak.shared)).size,
    verbatim_distinct: same.size,
    ngram: leaks.length - equal.length, leaks,
  };
}

function findLeak(
  { id, text }: LabelledText, exact: ReadonlyMap<string, string>, runs: ReadonlyMap<string, string>, n: number,
): Omit<Leak, "verbatim">[] {
  const normal = normalizeText(text);
  const twin = exact.get(normal);
  if (twin !== undefined) return [{ id, train_id: twin, kind: "exact", shared: normal }];
  const shared = ngrams(text, n).find((run) => runs.has(run));
  return shared === undefined ? [] : [{ id, train_id: runs.get(shared) ?? "", kind: "ngram", shared }];
}

function keepFirst(map: Map<string, string>, key: string, id: string): void {
  if (!map.has(key)) map.set(key, id);
}

function ngrams(text: string, n: number): string[] {
  const list = words(text);
  return Array.from({ length: Math.max(0, list.length - n + 1) }, (_, i) => list.slice(i, i + n).join(" "));
}
