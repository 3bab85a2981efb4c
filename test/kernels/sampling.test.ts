// Sampling beyond the comparison with the reference: known sets for each filter, ties, the distribution of many draws,
// and that a row is a pure function of its logits, its key and the seed.
import { describe, expect, test } from "@jest/globals";
import { backends, ops, type BackendUnderTest } from "./support/backends";
import { execute, sameBits } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { counting, resultRows, withRows } from "./support/rows";
import { samplingFields, type SamplingOptions } from "./cases/sampling";

interface Draws {
  tokens: number[];
  logps: Float64Array;
}

const seed = 99n;

/** One token for each key (prompt 3, sample 5, position i), all from the same logits. */
function draw(backend: BackendUnderTest, logits: number[], rows: number, options: SamplingOptions = {}): Draws {
  const m = new Maker("float32", 1);
  const repeated = new Float64Array(rows * logits.length);
  counting(rows).forEach((row) => repeated.set(logits, row * logits.length));
  const fields: Fields = {
    tokens: m.output([rows], "int32"), logps: m.output([rows], "float32"),
    logits: m.floats(repeated, [rows, logits.length], "scratch"), seed, ...options,
    keys: m.ints(counting(rows).flatMap((i) => [3, 5, i]), [rows, 3]),
  };
  const { results } = execute(backend.with(2), "SampleTokens", fields, { dtype: "float32" });
  return { tokens: [...(results["tokens"] ?? [])], logps: results["logps"] ?? new Float64Array() };
}

/** The uniform of draw i, from the same counter. */
const uniformOf = (i: number): number => {
  const bits = ops.philox([3, 5, i, 0], [Number(seed & 0xffffffffn), Number(seed >> 32n)])[0] ?? 0;
  return (Math.floor(bits / 256) + 0.5) / 2 ** 24;
};

const distinct = (tokens: number[]): number[] => [...new Set(tokens)].sort((a, b) => a - b);
const logOf = (probabilities: number[]): number[] => probabilities.map((p) => Math.log(p));

/** Probabilities 0.05, 0.3, 0.02, 0.2, 0.1, 0.25, 0.08: by size 1, 5, 3, 4, 6, 0, 2. */
const mixed = logOf([0.05, 0.3, 0.02, 0.2, 0.1, 0.25, 0.08]);

const filters: { options: SamplingOptions; kept: number[] }[] = [
  { options: {}, kept: [0, 1, 2, 3, 4, 5, 6] },
  { options: { top_k: 3 }, kept: [1, 3, 5] },
  { options: { top_k: 7 }, kept: [0, 1, 2, 3, 4, 5, 6] },
  { options: { top_p: 0.29 }, kept: [1] },
  { options: { top_p: 0.54 }, kept: [1, 5] },
  { options: { top_p: 0.56 }, kept: [1, 3, 5] },
  { options: { top_p: 0.99 }, kept: [0, 1, 2, 3, 4, 5, 6] },
  { options: { min_p: 0.3 }, kept: [1, 3, 4, 5] }, // 0.3 * 0.3 = 0.09: 0.1 stays, 0.08 goes
  // Each filter looks at what the one before left: of 0.3, 0.25 and 0.2 the first two have 0.73 of the mass.
  { options: { top_k: 3, top_p: 0.7 }, kept: [1, 5] },
  { options: { top_k: 3, top_p: 0.75 }, kept: [1, 3, 5] },
  { options: { top_k: 4, top_p: 0.9, min_p: 0.8 }, kept: [1, 5] },
  // Temperature comes first: squared and normalised the three largest are 0.41, 0.28 and 0.18.
  { options: { temperature: 0.5, top_p: 0.65 }, kept: [1, 5] },
];

/** 0.999 quantiles of the chi-square distribution by degrees of freedom. */
const chiSquare999 = [0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46];

describe.each(backends)("$label", (backend) => {
  test.each(filters)("$options keeps $kept, in proportion", ({ options, kept }) => {
    const { tokens } = draw(backend, mixed, 6000, options);
    expect(distinct(tokens)).toEqual(kept);
    const masses = kept.map((token) => Math.exp((mixed[token] ?? 0) / (options.temperature ?? 1)));
    const total = masses.reduce((a, b) => a + b);
    const statistic = kept.reduce((sum, token, i) => {
      const expected = 6000 * (masses[i] ?? 0) / total;
      return sum + (tokens.filter((t) => t === token).length - expected) ** 2 / expected;
    }, 0);
    expect(statistic).toBeLessThanOrEqual(chiSquare999[kept.length - 1] ?? 0);
  });

  test("draws by the inverse of the distribution function in token order", () => {
    const { tokens } = draw(backend, mixed, 500);
    const wanted = tokens.map((_, i) => {
      let running = 0;
      return mixed.findIndex((logit) => (running += Math.exp(logit)) > uniformOf(i));
    });
    expect(tokens).toEqual(wanted);
  });

  test("greedy takes the first of equal maxima", () => {
    expect(draw(backend, [1, 7, 3, 7, 7], 3, { temperature: 0 }).tokens).toEqual([1, 1, 1]);
    expect(draw(backend, Array<number>(100).fill(-2), 2, { temperature: 0 }).tokens).toEqual([0, 0]);
  });

  test("of equal logits top_k and top_p keep the lower tokens", () => {
    const equal = [0, 1, 1, 0, 1, 1, 0];
    expect(distinct(draw(backend, equal, 400, { top_k: 2 }).tokens)).toEqual([1, 2]);
    expect(distinct(draw(backend, equal, 400, { top_k: 5 }).tokens)).toEqual([0, 1, 2, 4, 5]);
    expect(distinct(draw(backend, Array<number>(8).fill(3), 400, { top_p: 0.45 }).tokens)).toEqual([0, 1, 2, 3]);
    expect(distinct(draw(backend, Array<number>(8).fill(3), 400, { min_p: 0.99 }).tokens)).toEqual(counting(8));
  });

  test("the log-probability is that of the unmodified softmax", () => {
    const { tokens, logps } = draw(backend, mixed, 50, { temperature: 2, top_k: 3, top_p: 0.8 });
    tokens.forEach((token, i) => expect(logps[i]).toBeCloseTo(mixed[token] ?? 0, 5));
    const shifted = mixed.map((logit) => logit + 1000);
    expect(draw(backend, shifted, 1, { temperature: 0 }).logps[0]).toBeCloseTo(Math.log(0.3), 3);
  });

  test("a vanishing temperature is greedy, without overflow", () => {
    for (const temperature of [1e-3, 1e-20, 1e-38, 1e-44]) {
      expect(distinct(draw(backend, mixed, 20, { temperature }).tokens)).toEqual([1]);
    }
  });

  test("a token of logit -Infinity is never drawn", () => {
    const masked = mixed.map((logit, token) => (token % 2 === 1 ? -Infinity : logit));
    expect(distinct(draw(backend, masked, 500, { temperature: 5 }).tokens)).toEqual([0, 2, 4, 6]);
    const filtered = { temperature: 5, top_k: 6, top_p: 0.999999 };
    expect(distinct(draw(backend, masked, 500, filtered).tokens)).toEqual([0, 2, 4, 6]);
  });

  test("a row does not depend on the others", () => {
    const fields = samplingFields(new Maker("float32", 4), 40, 1000, { temperature: 0.9, top_k: 50, top_p: 0.9 });
    const run = (part: Fields, threads: number): Record<string, Float64Array> =>
      execute(backend.with(threads), "SampleTokens", part, { dtype: "float32" }).results;
    const all = run(fields, 2);
    for (const rows of [[0], [39], [5, 4], counting(40).reverse()]) {
      const part = run(withRows(fields, ["tokens", "logps", "logits", "keys"], rows), 1);
      for (const name of ["tokens", "logps"]) {
        expect(sameBits(part[name], resultRows(tensor(fields, name), all[name], rows))).toBe(true);
      }
    }
  });

  test("seed, prompt, sample and position each change the draw", () => {
    const base = samplingFields(new Maker("float32", 4), 64, 500, {});
    const tokensOf = (changes: Fields): number[] =>
      [...(execute(backend.with(1), "SampleTokens", { ...base, ...changes }, { dtype: "float32" }).results["tokens"] ?? [])];
    const keys = tensor(base, "keys");
    const moved = (part: number): Fields =>
      ({ keys: { ...keys, values: keys.values.map((value, i) => (i % 3 === part ? value + 1000 : value)) } });
    const seeds = [1234567890123n, 1234567890124n, 1234567890123n + (1n << 63n)].map((value) => ({ seed: value }));
    const variants = [...seeds, moved(0), moved(1), moved(2)];
    expect(new Set(variants.map((changes) => tokensOf(changes).join())).size).toBe(variants.length);
  });

  test.each([NaN, Infinity])("a logit of %p is an error that names the row", (bad) => {
    const fields = samplingFields(new Maker("float32", 4), 5, 33, {});
    tensor(fields, "logits").values[3 * 33 + 32] = bad;
    expect(() => execute(backend.with(2), "SampleTokens", fields, { dtype: "float32" })).toThrow(expect.objectContaining({
      code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(/sample_tokens: the logits of row 3/),
    }));
  });
});
