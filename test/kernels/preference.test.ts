// Preference losses against PyTorch, their gradient against central differences, and the two ends of their range: a
// policy that equals its reference, and margins so large that exp would overflow.
import { describe, expect, test } from "@jest/globals";
import { preferenceVariants, readGolden, type Golden, type PreferenceGolden } from "../model/support/fixtures";
import { backends, reference, type BackendUnderTest } from "./support/backends";
import { execute } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { largestError } from "./support/tolerance";
import { kinds, preferenceFields, variants, type PreferenceOptions } from "./cases/preference";

const largestOf = (values: Float64Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/**
 * PyTorch's numbers are float64 from float32 log-probs. Ours are stored as float32 once more, and the margin is of four
 * sums that were rounded so: 2^-24 of the largest sum each, and beta times that in the loss.
 */
const goldenLimit = 1e-6;
const lossLimit = (loss: number, beta: number, sums: Float64Array): number =>
  goldenLimit * Math.max(1, Math.abs(loss)) + 4 * beta * 2 ** -24 * largestOf(sums);

const run = (backend: BackendUnderTest, fields: Fields): Record<string, Float64Array> =>
  execute(backend.with(1), "PreferenceLoss", fields, { dtype: "float32" }).results;

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

interface ScoredRows {
  /** Rows of the golden's joined sequences that predict a token of a response. */
  rows: number[];
  /** Ends of the responses among them. */
  ends: number[];
  chosenTokens: number;
}

function scoredRows({ pairs }: Golden["dpo"]): ScoredRows {
  const scored: ScoredRows = { rows: [], ends: [], chosenTokens: sum(pairs.map(({ chosen }) => chosen.length)) };
  let begin = 0;
  for (const { prompt, chosen, rejected } of pairs) {
    for (const { length } of [chosen, rejected]) {
      const first = begin + prompt.length - 1;
      scored.rows.push(...Array.from({ length }, (_, i) => first + i));
      scored.ends.push(scored.rows.length);
      begin += prompt.length + length;
    }
  }
  return scored;
}

/** TRL's options as the op's: the mean over pairs, and the NLL per chosen token. */
function optionsOf(golden: PreferenceGolden, pairs: number, chosenTokens: number): Fields {
  const { loss_type, beta, label_smoothing, alpha } = golden;
  const isNormalized = loss_type === "sigmoid_norm";
  return {
    kind: kinds[(isNormalized ? "sigmoid" : loss_type) as keyof typeof kinds], length_normalize: isNormalized, beta,
    label_smoothing, pair_weight: 1 / pairs, nll_weight: alpha / chosenTokens,
  };
}

function goldenFields(golden: Golden, name: string): { fields: Fields; wanted: Float64Array; loss: number } {
  const { pairs, losses, reference_logps } = golden.dpo;
  const loss = losses[name] as PreferenceGolden;
  const { rows, ends, chosenTokens } = scoredRows(golden.dpo);
  const pick = (array: string): Float64Array =>
    Float64Array.from(rows, (row) => golden.arrays.get(array)?.[row] ?? NaN);
  const m = new Maker("float32", 1);
  const fields = {
    dlogps: m.output([rows.length], "float32"), losses: m.output([pairs.length], "float32"),
    sequence_logps: m.output([ends.length], "float32"), logps: m.floats(pick("dpo.logps")), sequence_ends: m.ints(ends),
    reference_logps: m.floats(reference_logps), pair_begin: 0, pair_end: pairs.length,
    ...optionsOf(loss, pairs.length, chosenTokens),
  };
  return { fields, wanted: pick(`dpo.${name}.dlogps`), loss: loss.loss };
}

/** The step's loss, from what the op returns: op.h says how. */
function totalOf(fields: Fields, results: Record<string, Float64Array>): number {
  const chosen = (results["sequence_logps"] ?? new Float64Array()).filter((_, s) => s % 2 === 0);
  return Number(fields["pair_weight"]) * sum(results["losses"] ?? []) - Number(fields["nll_weight"] ?? 0) * sum(chosen);
}

const goldens = preferenceVariants.map((variant) => [variant, readGolden(variant)] as const);
const goldenCases = goldens.flatMap(([variant, golden]) =>
  Object.keys(golden.dpo.losses).map((name) => ({ variant, name, golden })));

describe.each(backends)("$label", (backend) => {
  test.each(goldenCases)("$variant $name equals PyTorch", ({ golden, name }) => {
    const { fields, wanted, loss } = goldenFields(golden, name);
    const results = run(backend, fields);
    const sums = Float64Array.from(golden.dpo.logps);
    const limit = lossLimit(loss, Number(fields["beta"]), sums);
    expect(Math.abs(totalOf(fields, results) - loss)).toBeLessThanOrEqual(limit);
    expect(largestError(results["dlogps"] as Float64Array, wanted)).toBeLessThanOrEqual(goldenLimit);
    expect(largestError(results["sequence_logps"] as Float64Array, sums)).toBeLessThanOrEqual(1e-6 * largestOf(sums));
  });

  test("a policy that equals its reference has loss ln 2 exactly", () => {
    const fields = preferenceFields(new Maker("float32", 2), { kind: "sigmoid" }, [0, 5]);
    const sums = run(backend, fields)["sequence_logps"] as Float64Array;
    const frozen = { ...tensor(fields, "reference_logps"), values: sums };
    const { losses } = run(backend, { ...fields, reference_logps: frozen });
    expect([...(losses ?? [])]).toEqual(Array(5).fill(Math.fround(Math.LN2)));
  });

  test.each([1e3, 1e6])("beta %d: margins beyond the range of exp give finite losses and gradients", (beta) => {
    const kindsWithSigmoid: PreferenceOptions[] = [{ kind: "sigmoid" }, { kind: "robust", label_smoothing: 0.2 }];
    for (const options of kindsWithSigmoid) {
      const fields = preferenceFields(new Maker("float32", 3), { ...options, beta }, [0, 5]);
      const { losses, dlogps } = run(backend, fields);
      expect([...(losses ?? []), ...(dlogps ?? [])].every(Number.isFinite)).toBe(true);
    }
  });
});

describe("the gradient is that of the step's loss", () => {
  // The loss is stored in float32, so 2^-24 of it over the step is seen: a wide step, which three points allow because
  // the fifth derivative of these losses by one log-prob is of the order of beta^5.
  const step = 2 ** -4;

  test.each(variants.filter(({ beta = 0 }) => beta <= 1))("%j", (options) => {
    const fields = preferenceFields(new Maker("float32", 4), options, [0, 5]);
    const logps = tensor(fields, "logps");
    const at = (i: number, distance: number): number => {
      const values = Float64Array.from(logps.values);
      values[i] = Math.fround((values[i] ?? 0) + distance);
      const moved = { ...fields, logps: { ...logps, values } };
      return totalOf(moved, execute(reference, "PreferenceLoss", moved, { dtype: "float32" }).results);
    };
    const { dlogps } = execute(reference, "PreferenceLoss", fields, { dtype: "float32" }).results;
    const differences = Float64Array.from(logps.values, (_, i) => (at(i, step) - at(i, -step)) / (2 * step));
    expect(largestError(dlogps as Float64Array, differences)).toBeLessThanOrEqual(2 ** -12 * largestOf(differences));
  });
});
