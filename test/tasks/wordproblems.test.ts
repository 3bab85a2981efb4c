// The procedural family: its arithmetic is right, its splits are disjoint by construction, its kinds differ
// in kind.
import { describe, expect, test } from "@jest/globals";
import type { Question } from "../../src/data/records";
import { getTask } from "../../src/tasks";
import { KeyedRandom } from "../../src/tasks/random";
import { WORD_PROBLEM_KINDS, generateQuestions, wordProblemName, wordProblemOptions } from "../../src/tasks/wordproblems";
import { parseEquations } from "../../src/tasks/wordproblems/chain";
import { splitOfNumbers } from "../../src/tasks/wordproblems/plan";

const options = wordProblemOptions({ train: 1500, validation: 150, test: 300 });
const load = (kind: typeof WORD_PROBLEM_KINDS[number], split: "train" | "validation" | "test") =>
  generateQuestions(options, kind, split, options[split]);

/** Numbers of the story that matter, in reading order; a distractor is the number that no equation uses. */
function storyNumbers(question: Question, distractor: boolean): number[] {
  const sentences = question.question.split(/(?<=[.?]) /);
  const kept = distractor ? sentences.filter((_, index) => index !== 1) : sentences;
  return (kept.join(" ").match(/\d+/g) ?? []).map(Number);
}

describe.each(WORD_PROBLEM_KINDS)("%s", (kind) => {
  const questions = load(kind, "test");

  test("every step is right, follows from the one before, and ends in the gold answer", () => {
    for (const question of questions) {
      const equations = parseEquations(question.rationale ?? "");
      expect(equations.length).toBeGreaterThanOrEqual(options.min_steps);
      equations.forEach(({ left, operation, operand, result }, index) => {
        const value = {
          add: left + operand, subtract: left - operand, multiply: left * operand, divide: left / operand,
        };
        expect(value[operation]).toBe(result);
        expect(result).toBeLessThanOrEqual(options.max_total);
        if (index > 0) expect(left).toBe(equations[index - 1]?.result);
      });
      expect(String(equations.at(-1)?.result)).toBe(question.gold);
    }
  });

  test("the numbers told belong to the test split", () => {
    for (const question of questions) {
      expect(splitOfNumbers(storyNumbers(question, kind === "distractor"))).toBe("test");
    }
  });

  test("no two questions are alike, and a longer split begins with the shorter", () => {
    expect(new Set(questions.map((one) => one.question)).size).toBe(questions.length);
    expect(generateQuestions(options, kind, "test", 20)).toEqual(questions.slice(0, 20));
    const other = generateQuestions(wordProblemOptions({ ...options, seed: 1 }), kind, "test", 20);
    expect(other.map((one) => one.question)).not.toEqual(questions.slice(0, 20).map((one) => one.question));
  });
});

test("train, validation and test share no question and no tuple of numbers", () => {
  const owned = (["train", "validation", "test"] as const).map((split) =>
    new Set(load("base", split).map((one) => storyNumbers(one, false).join())));
  const [train, validation, testing] = owned as [Set<string>, Set<string>, Set<string>];
  expect([...validation, ...testing].filter((tuple) => train.has(tuple))).toEqual([]);
  expect([...validation].filter((tuple) => testing.has(tuple))).toEqual([]);
});

test("out-of-domain kinds differ in kind", () => {
  const steps = (question: Question) => parseEquations(question.rationale ?? "").length;
  const shape = (question: Question) => {
    const opening = /boxes with|trays with|rows with|barns with/.test(question.question) ? "product"
      : /red|big|men and|white/.test(question.question) ? "sum" : "plain";
    return `${opening} ${/dollars/.test(question.question) ? "sell" : /equal/.test(question.question) ? "share" : "plain"}`;
  };
  const base = new Set(load("base", "train").map(shape));
  expect([...base].sort()).toEqual(
    ["plain plain", "plain sell", "plain share", "product plain", "product share", "sum plain", "sum sell"]);
  expect([...new Set(load("order", "test").map(shape))].sort()).toEqual(["product sell", "sum share"]);
  expect(load("base", "train").every((one) => steps(one) >= 2 && steps(one) <= 3)).toBe(true);
  expect(load("longer", "test").every((one) => steps(one) === 4)).toBe(true);
  expect(load("reversed", "test").every((one) => / some .* at first\?$/.test(one.question))).toBe(true);
  for (const one of load("distractor", "test")) {
    expect(storyNumbers(one, false)).toHaveLength(storyNumbers(one, true).length + 1);
  }
});

test("as tasks: no folder, short input, no train split out of domain", async () => {
  const task = getTask(wordProblemName("base"), { wordproblems: { train: 3 } });
  const questions = await task.load("nowhere", "train");
  expect(questions).toHaveLength(3);
  expect(task.input(questions[0]!)).toBe(questions[0]!.question);
  await expect(getTask("wordproblems-longer").load("", "train")).rejects.toThrow('no split "train"');
});

test("knobs that make no sense are refused by name", () => {
  expect(() => wordProblemOptions({ min_steps: 4, max_steps: 3 }))
    .toThrow("`wordproblems.min_steps` is 4, wanted at most `wordproblems.max_steps`, 3");
  expect(() => wordProblemOptions({ max_operand: 1.5 }))
    .toThrow("`wordproblems.max_operand` is 1.5, wanted an integer from 3");
  expect(() => wordProblemOptions({ frames: [] })).toThrow("`wordproblems.frames` is none, wanted one or more of");
  expect(() => wordProblemOptions({ minSteps: 4 } as object))
    .toThrow("`wordproblems.minSteps`: no such option; did you mean `wordproblems.min_steps`?");
  const narrow = wordProblemOptions({ min_steps: 1, max_steps: 1, max_operand: 3, max_total: 10, frames: ["ride"] });
  expect(() => generateQuestions(narrow, "base", "test", 500))
    .toThrow(/no further test question found after \d+ of 500/);
});

describe("keyed draws", () => {
  test("the generator is Philox4x32-10 (known answer for counter and key 0)", () => {
    const random = new KeyedRandom(0);
    Object.assign(random, { counter: [0, 0] });
    expect([random.bits(), random.bits(), random.bits(), random.bits()])
      .toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });
  test("streams are independent of each other and of the seed's neighbours, and uniform", () => {
    const draw = (seed: number, ...parts: (string | number)[]) => new KeyedRandom(seed, ...parts).bits();
    expect(new Set([draw(0, "a"), draw(1, "a"), draw(0, "b"), draw(0, "a", 1), draw(2 ** 40, "a")]).size)
      .toBe(5);
    expect(draw(0, "a", 1)).not.toBe(draw(0, "a1"));
    const counts = new Array<number>(6).fill(0);
    const random = new KeyedRandom(7, "dice");
    for (let i = 0; i < 6000; i++) counts[random.below(6)]!++;
    const chiSquare = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeLessThan(20.5); // 99.9 % quantile with 5 degrees of freedom
    expect(random.shuffle([1, 2, 3, 4]).sort()).toEqual([1, 2, 3, 4]);
  });
});
