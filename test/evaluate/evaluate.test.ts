// Intervals and tests against published values and hand counts; comparisons, votes, the matrix.
import { describe, expect, test } from "@jest/globals";
import type { Domain, Prediction, Question } from "../../src/data/records";
import { accuracyOf, wilson } from "../../src/evaluate/accuracy";
import { bootstrapMean, compare } from "../../src/evaluate/compare";
import { accuracyMatrix } from "../../src/evaluate/matrix";
import { judge } from "../../src/evaluate/predict";
import { compareSeeds, summarizeSeeds } from "../../src/evaluate/seeds";
import { betaCdf, logGamma, signTest, studentCdf, studentQuantile } from "../../src/evaluate/special";
import { majorityVote, votedPrediction } from "../../src/evaluate/vote";
import { getTask } from "../../src/tasks";

/** Predictions from a string of verdicts: "1" right, "0" wrong, "-" unreadable. */
function predictions(verdicts: string, task = "t", domain: Domain = "in"): Prediction[] {
  return [...verdicts].map((verdict, i) => ({
    id: String(i), task, domain, prompt: "", completion: "", gold: "1",
    answer: verdict === "-" ? null : verdict, correct: verdict === "1",
  }));
}

describe("distribution functions", () => {
  test("gamma, beta and t at known points", () => {
    expect(logGamma(5)).toBeCloseTo(Math.log(24), 13);
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.PI) / 2, 13);
    expect(betaCdf(0.3, 2, 3)).toBeCloseTo(0.3483, 12); // 6x^2 - 8x^3 + 3x^4
    expect(studentCdf(0, 4)).toBeCloseTo(0.5, 14);
    expect(studentCdf(1, 1)).toBeCloseTo(0.75, 13); // Cauchy
  });
  test.each([[1, 12.7062], [4, 2.77645], [9, 2.26216], [30, 2.04227]])("t quantile, %i degrees of freedom", (df, t) => {
    expect(studentQuantile(0.975, df)).toBeCloseTo(t, 4);
  });
  test("sign test is the exact binomial tail", () => {
    expect(signTest(5, 5)).toBeCloseTo(2 / 32, 14);
    expect(signTest(1, 6)).toBeCloseTo(14 / 64, 14);
    expect(signTest(3, 6)).toBe(1);
    expect(signTest(0, 0)).toBe(1);
    expect(signTest(0, 2000)).toBeGreaterThanOrEqual(0);
  });
});

describe("accuracy", () => {
  test("Wilson's interval at published points", () => {
    const { low, high } = wilson(81, 263); // Newcombe 1998, method 3: 0.2553 to 0.3662
    expect([low, high].map((one) => one.toFixed(4))).toEqual(["0.2553", "0.3662"]);
    expect(wilson(0, 20).low).toBe(0);
    expect(wilson(0, 20).high).toBeCloseTo(0.1611, 4);
    expect(wilson(20, 20).high).toBe(1);
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
    expect(() => wilson(3, 2)).toThrow("got 3 of 2");
  });
  test("unreadable answers are wrong and reported", () => {
    expect(accuracyOf(predictions("110-"))).toMatchObject({
      n: 4, correct: 2, accuracy: 0.5, extraction_failure_rate: 0.25,
    });
    expect(accuracyOf([])).toMatchObject({ n: 0, accuracy: 0, low: 0, high: 1, extraction_failure_rate: 0 });
  });
});

describe("two models on the same questions", () => {
  test("McNemar, difference and preservation by hand", () => {
    const before = predictions("1111100000");
    const after = predictions("1111011111");
    const result = compare(before, after);
    expect(result).toMatchObject({
      n: 10, accuracy_before: 0.5, accuracy_after: 0.9, gained: 5, lost: 1, preservation_rate: 0.8,
    });
    expect(result.difference).toBeCloseTo(0.4, 14);
    expect(result.p_value).toBeCloseTo(14 / 64, 14);
    expect(result.low).toBeLessThan(0.4);
    expect(result.high).toBeGreaterThan(0.4);
  });
  test("order does not matter, the seed decides, nothing changed is nothing found", () => {
    const [before, after] = [predictions("110010"), predictions("011011")];
    expect(compare(before, [...after].reverse()).p_value).toBe(compare(before, after).p_value);
    expect(compare(before, after, { seed: 3 })).toEqual(compare(before, after, { seed: 3 }));
    expect(compare(before, before)).toMatchObject({
      difference: 0, low: 0, high: 0, p_value: 1, preservation_rate: 1,
    });
    expect(compare([], []).preservation_rate).toBeNull();
  });
  test("other questions are refused", () => {
    expect(() => compare(predictions("11"), predictions("111")))
      .toThrow(/got 2 predictions .* "2" of t is in the second only/);
    expect(() => compare([...predictions("1"), ...predictions("1")], predictions("1"))).toThrow("each once");
  });
  test("the bootstrap interval covers the mean about as often as it says", () => {
    const values = Array.from({ length: 400 }, (_, i) => Number(i % 4 === 0));
    const { low, high } = bootstrapMean(values, { resamples: 4000 });
    const half = 1.96 * Math.sqrt(0.25 * 0.75 / 400);
    expect(low).toBeGreaterThan(0.25 - 1.15 * half);
    expect(low).toBeLessThan(0.25 - 0.85 * half);
    expect(high).toBeGreaterThan(0.25 + 0.85 * half);
    expect(high).toBeLessThan(0.25 + 1.15 * half);
  });
});

describe("seeds", () => {
  test("mean and t interval", () => {
    const { mean, stdev, low, high } = summarizeSeeds([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    expect(stdev).toBeCloseTo(Math.sqrt(2.5), 14);
    expect(low).toBeCloseTo(3 - 2.776445 * Math.sqrt(0.5), 5);
    expect(high).toBeCloseTo(3 + 2.776445 * Math.sqrt(0.5), 5);
    expect(summarizeSeeds([7])).toMatchObject({ mean: 7, stdev: null, low: null, high: null });
    expect(() => summarizeSeeds([])).toThrow("wanted one finite number a seed");
    expect(() => summarizeSeeds([Number.NaN])).toThrow("NaN");
  });
  test("paired differences", () => {
    const result = compareSeeds([0.50, 0.52, 0.48, 0.55, 0.51], [0.56, 0.55, 0.55, 0.57, 0.58]);
    expect(result).toMatchObject({ better: 5, worse: 0, equal: 0 });
    expect(result.sign_test_p).toBeCloseTo(1 / 16, 14);
    expect(result.mean).toBeCloseTo(0.05, 14);
    expect(result.paired_t_p).toBeCloseTo(0.008857517, 8); // t = 4.76731; df 4 in closed form
    expect(compareSeeds([1, 2], [1, 2])).toMatchObject({ equal: 2, paired_t_p: 1, sign_test_p: 1 });
    expect(() => compareSeeds([1], [1, 2])).toThrow("got 1 and 2 seeds");
  });
});

describe("majority vote", () => {
  const task = getTask("gsm8k");
  const votes = (...answers: (string | null)[]) =>
    answers.map((answer, i) => ({ answer, prompt: "p", completion: `c${i}` }));
  const question: Question = { id: "q", task: "gsm8k", split: "test", question: "?", gold: "5" };

  test("numeric equality counts, the unreadable do not, ties go to the earlier", () => {
    expect(majorityVote(task, votes("5", "5.0", "7", null))).toEqual({
      answer: "5", votes: 2, readable: 3, samples: 4,
    });
    expect(majorityVote(task, votes("7", "5", "5", "7")).answer).toBe("7");
    expect(majorityVote(task, votes(null, null)).answer).toBeNull();
  });
  test("as a prediction", () => {
    expect(votedPrediction(task, question, "out", votes("7", "5", "5"))).toMatchObject({
      correct: true, completion: "c1", domain: "out",
    });
    expect(votedPrediction(task, question, "in", votes(null))).toMatchObject({
      correct: false, answer: null,
    });
    expect(judge(task, question, "in", { prompt: "p", completion: "2 + 3 = 5. The answer is 5." })).toMatchObject({
      correct: true,
    });
    expect(judge(task, question, "in", { prompt: "p", completion: "five" })).toMatchObject({
      answer: null, correct: false,
    });
  });
});

describe("the matrix", () => {
  const base = [...predictions("1100", "a"), ...predictions("10", "b", "out"), ...predictions("00", "c", "out")];
  const tuned = [...predictions("1110", "a"), ...predictions("11", "b", "out"), ...predictions("01", "c", "out")];

  test("tasks, pools and paired cells", () => {
    const matrix = accuracyMatrix([{ model: "base", predictions: base }, { model: "tuned", predictions: tuned }], { baseline: "base" });
    expect(matrix.columns.map((column) => column.name)).toEqual(["a", "b", "c", "out"]);
    expect(matrix.rows[0]?.cells.out).toMatchObject({ n: 4, correct: 1 });
    expect(matrix.rows[0]?.cells.out?.versus_baseline).toBeUndefined();
    expect(matrix.rows[1]?.cells.out).toMatchObject({
      accuracy: 0.75, versus_baseline: { gained: 2, lost: 0 },
    });
    expect(matrix.rows[1]?.cells.a?.versus_baseline?.p_value).toBe(1);
  });
  test("the row with a control is compared with it too, question by question, where both are there", () => {
    const models = [
      { model: "base", predictions: base }, { model: "tuned", predictions: tuned },
      { model: "rival", predictions: [...predictions("1111", "a"), ...predictions("00", "b", "out"), ...predictions("11", "c", "out")] },
    ];
    const control = { model: "tuned", against: "rival" };
    const matrix = accuracyMatrix(models, { baseline: "base", control });
    expect(matrix.control).toBe("rival");
    expect(matrix.rows[1]?.cells.a?.versus_control).toMatchObject({ n: 4, gained: 0, lost: 1, p_value: 1 });
    expect(matrix.rows[1]?.cells.out?.versus_control).toMatchObject({ n: 4, gained: 2, lost: 1 });
    expect(matrix.rows[1]?.cells.out?.versus_control?.p_value).toBeCloseTo(1, 12);
    expect(matrix.rows.filter(({ cells }) => cells.a?.versus_control).map(({ model }) => model)).toEqual(["tuned"]);
    const without = accuracyMatrix(models.slice(0, 2), { baseline: "base", control });
    expect(without.control).toBeUndefined();
    expect(without.rows[1]?.cells.a?.versus_control).toBeUndefined();
  });
  test("a task cannot be in both domains, a baseline must exist", () => {
    const mixed = [...predictions("1", "a"), ...predictions("0", "a", "out")];
    expect(() => accuracyMatrix([{ model: "m", predictions: mixed }]))
      .toThrow("m: a question 0 is out-domain, others of it are in");
    expect(() => accuracyMatrix([{ model: "m", predictions: base }], { baseline: "x" }))
      .toThrow('no model "x" to compare with; there are m');
  });
});
