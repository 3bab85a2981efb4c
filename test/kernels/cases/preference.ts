// Preference losses: every kind, with and without its options, over all pairs and over some.
import type { OpCase } from "../support/case";
import type { Fields, Maker } from "../support/fields";

export const kinds = { sigmoid: 0, robust: 1, hinge: 2, ipo: 3 };

export interface PreferenceOptions {
  kind: keyof typeof kinds;
  beta?: number;
  label_smoothing?: number;
  length_normalize?: boolean;
  nll_weight?: number;
}

/** Tokens of the sequences chosen, rejected, chosen, rejected, ... */
export const lengths = [7, 5, 2, 9, 1, 1, 40, 3, 13, 130];

export function preferenceFields(m: Maker, { kind, ...options }: PreferenceOptions, range: [number, number]): Fields {
  const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0));
  const tokens = ends.at(-1) ?? 0;
  const pairs = lengths.length / 2;
  const logps = Array.from({ length: tokens }, () => -4 * m.random.uniform());
  const sums = ends.map((end, i) => logps.slice(ends[i - 1] ?? 0, end).reduce((sum, logp) => sum + logp, 0));
  return {
    // Rows and pairs outside of the range must stay as they are, so these are not outputs that start as NaN.
    dlogps: { ...m.float([tokens]), role: "inout" }, losses: { ...m.float([pairs]), role: "inout" },
    sequence_logps: { ...m.float([2 * pairs]), role: "inout" }, logps: m.floats(logps), sequence_ends: m.ints(ends),
    reference_logps: m.floats(sums.map((sum) => sum + 3 * m.random.normal())),
    pair_begin: range[0], pair_end: range[1], kind: kinds[kind], beta: 0.1, pair_weight: 0.2, ...options,
  };
}

export const variants: PreferenceOptions[] = [
  { kind: "sigmoid" }, { kind: "sigmoid", label_smoothing: 0.1 }, { kind: "sigmoid", length_normalize: true },
  { kind: "sigmoid", nll_weight: 0.3 }, { kind: "robust", label_smoothing: 0.1 }, { kind: "hinge", beta: 1 },
  { kind: "hinge", length_normalize: true, nll_weight: 0.1 }, { kind: "ipo" }, { kind: "ipo", beta: 0.01, nll_weight: 1 },
  { kind: "sigmoid", beta: 500 },
];

function preference(options: PreferenceOptions, range: [number, number]): OpCase {
  return {
    op: "PreferenceLoss", name: `${JSON.stringify(options)} pairs ${range.join(" to ")}`, terms: Math.max(...lengths),
    make: (m) => preferenceFields(m, options, range),
  };
}

export const cases: OpCase[] = variants.flatMap((options) =>
  [[0, 5], [1, 3], [2, 2]].map(([begin = 0, end = 0]) => preference(options, [begin, end])));
