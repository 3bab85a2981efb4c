// The leakage check: what it must find in texts made for it, and the recurrences known to be in the real sets.
import { describe, expect, test } from "@jest/globals";
import type { Split } from "../../src/data/records";
import { type LabelledText, findLeaks } from "../../src/evaluate/leakage";
import { leakTest } from "../../src/run/questions";
import { getTask } from "../../src/tasks";
import { WORD_PROBLEM_KINDS, wordProblemName } from "../../src/tasks/wordproblems";
import { sharedPath, testWith } from "../data/shared";

async function questions(task: string, ...splits: Split[]): Promise<LabelledText[]> {
  const lists = await Promise.all(splits.map((split) => getTask(task).load(sharedPath(task), split)));
  return lists.flat().map(({ id, question }) => ({ id, text: question }));
}

/** For families made from templates, whose texts share long runs of words: these tell whether a problem recurs. */
function numbersOnly(texts: readonly LabelledText[]): LabelledText[] {
  return texts.map(({ id, text }) => ({ id, text: (text.match(/\d+(?:\.\d+)?/g) ?? []).join(" ") }));
}

describe("made for it", () => {
  const long = "one two three four five six seven eight nine ten eleven twelve thirteen";
  const train = [{ id: "t1", text: "Tom has 3 apples." }, { id: "t2", text: `In short: ${long}, and so on.` }];

  test("equal but for case, spacing and marks", () => {
    expect(findLeaks(train, [{ id: "e", text: "  tom HAS 3 apples!" }])).toMatchObject({
      exact: 1, exact_distinct: 1, verbatim_distinct: 0, ngram: 0, leaks: [{ id: "e", train_id: "t1", kind: "exact" }],
    });
    expect(findLeaks(train, [{ id: "e", text: "Tom has 3 apples." }])).toMatchObject({
      verbatim_distinct: 1,
    });
    expect(findLeaks(train, [{ id: "e", text: "Tom has 4 apples." }])).toMatchObject({
      exact: 0, ngram: 0, leaks: [],
    });
  });
  test("a run of exactly n words, not of n - 1", () => {
    expect(findLeaks(train, [{ id: "e", text: `Now ${long} end` }])).toMatchObject({
      ngram: 1, leaks: [{ shared: long }],
    });
    expect(findLeaks(train, [{ id: "e", text: `Now ${long.slice(4)} end` }])).toMatchObject({ ngram: 0 });
    expect(findLeaks(train, [{ id: "e", text: `Now ${long.slice(4)} end` }], 12)).toMatchObject({ ngram: 1 });
  });
  test("questions of two tasks may share an id", () => {
    const evaluated = [{ id: "1", text: "Tom has 3 apples." }, { id: "1", text: "tom has 3 apples" }];
    expect(findLeaks(train, evaluated)).toMatchObject({
      exact: 2, exact_distinct: 1, verbatim_distinct: 1, leaks: [{ verbatim: true }, { verbatim: false }],
    });
  });
  test("n must make sense", () => {
    expect(() => findLeaks(train, train, 1)).toThrow("n is 1, wanted an integer from 2");
  });
  test("numbers alone find a problem in other clothes", () => {
    const other = [{ id: "e", text: "Ana ate 3 pears." }];
    expect(findLeaks(train, other).exact).toBe(0);
    expect(findLeaks(numbersOnly(train), numbersOnly(other)).exact).toBe(1);
  });
});

test("a question is found in a longer text wherever it stands, however short it is", () => {
  const set = (...texts: string[]) => {
    const task = getTask("gsm8k");
    const list = texts.map((question, i) => ({ id: String(i), task: "gsm8k", split: "test" as const, question, gold: "5" }));
    return { domain: "in" as const, task, split: "test" as const, questions: list, key: "" };
  };
  const leaks = leakTest([set("What is 2 plus 3?", "How many legs have seven cats and nine dogs?", "?!")]);
  for (const text of ["Q: What is 2 plus 3? A: 5", "What is 2 plus 3?", "He asked: what is 2 plus 3"]) {
    expect([text, leaks(text)]).toEqual([text, true]);
  }
  expect(leaks("Tell me: how many legs have seven cats and nine dogs? Sixty-four.")).toBe(true);
  for (const text of ["What is 2 plus 30?", "How many legs have seven cats and nine ducks?", "?!", ""]) {
    expect([text, leaks(text)]).toEqual([text, false]);
  }
});

describe("known recurrences", () => {
  testWith("MultiArith: five test questions stand in train", [sharedPath("multiarith")], async () => {
    const report = findLeaks(await questions("multiarith", "train"), await questions("multiarith", "test"));
    expect(report).toMatchObject({ train: 420, evaluated: 180, exact: 5 });
  });
  testWith("OpenBookQA: 23 stems of test stand in train", [sharedPath("openbookqa")], async () => {
    const report = findLeaks(await questions("openbookqa", "train"), await questions("openbookqa", "test"));
    expect(report).toMatchObject({ exact: 23, exact_distinct: 23 });
  });
  testWith("PIQA: 146 train goals recur in validation to the letter, 161 in normal form", [sharedPath("piqa")], async () => {
    const report = findLeaks(await questions("piqa", "train"), await questions("piqa", "validation", "test"));
    expect(report).toMatchObject({
      evaluated: 1838, verbatim_distinct: 146, exact_distinct: 161, exact: 197,
    });
  });
  testWith("SVAMP and GSM8K share nothing", [sharedPath("svamp"), sharedPath("gsm8k")], async () => {
    const report = findLeaks(await questions("gsm8k", "train", "test"), await questions("svamp", "all"));
    expect(report).toMatchObject({ exact: 0, ngram: 0 });
  });
});

test("the procedural family: no evaluated question, and no sequence of numbers of the in-domain one, is in train", async () => {
  const load = async (name: string, split: Split) =>
    (await getTask(name).load("", split)).map(({ id, question }) => ({ id, text: question }));
  const train = await load("wordproblems", "train");
  for (const kind of WORD_PROBLEM_KINDS) {
    expect(findLeaks(train, await load(wordProblemName(kind), "test")).exact).toBe(0);
  }
  expect(findLeaks(numbersOnly(train), numbersOnly(await load("wordproblems", "test"))).exact).toBe(0);
});
