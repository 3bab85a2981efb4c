// The chosen letter: accepted forms, refused ones, and the strings a fuzzy matcher gets wrong.
import { describe, expect, test } from "@jest/globals";
import { type Choice, toChoices } from "../../src/tasks/choice";
import { extractChoice, readChoice } from "../../src/tasks/extract-choice";
import { KeyedRandom } from "../../src/tasks/random";
import { readRationales } from "../../src/tasks/rationale-files";
import { sharedPath, testWith } from "../data/shared";

const canals = toChoices(["Michigan", "New York", "Amsterdam", "Venice", "bridge"], "here");
const fog = toChoices(["a marsh", "a tundra", "the plains", "a desert"], "here");

test.each([
  ["The correct answer is: D) Venice", "D"], ["The answer is (B)", "B"], ["The answer is B.", "B"], ["Answer: D", "D"],
  ["The answer is **(C)**", "C"], ["The answer is \"B\".", "B"], ["The answer is D Venice", "D"], ["The answer is A because", "A"],
  ["My answer would be option (E) bridge", "E"], ["the correct answer is answer3", "C"], ["the best choice is C", "C"],
  ["The answer to the question is D.", "D"], ["The answer is D) Venice. Venice, Italy is known for its canals.", "D"],
  ["A) Michigan has lakes. B) New York has few. The correct answer is: D) Venice", "D"],
  ["The answer is A. Wait, the correct answer is C.", "C"],
  ["So, the answer is c\n\nQuestion:\nnext", "C"], ["So the correct option is d.", "D"], ["The answer is a", "A"],
  ["The answer is (D) Venice (a city).", "D"], ["The answer is (b) New York, not (a) Michigan.", "B"],
  ["Thus, the answer is (d) Venice\n\nQ: next\nAnswer: (a)", "D"],
])("marked: %j -> %s", (completion, label) => {
  expect(readChoice(completion, canals)).toEqual({ label, rule: "marker" });
});

describe("what a fuzzy matcher gets wrong", () => {
  test("an answer in E is read", () => expect(extractChoice("E) bridge.", canals)).toBe("E"));
  test("the letter decides, not the likeness of the text", () => {
    expect(extractChoice("The answer is A) Venice.", canals)).toBe("A");
    expect(extractChoice("B) paper bag.", toChoices(["paper box", "paper bag"], "here"))).toBe("B");
  });
  test("a letter against its own text is no answer without a marker", () => {
    expect(extractChoice("D) New York.", canals)).toBeNull();
  });
});

test.each([["D", "D"], ["(d)", "D"], ["Water flows there.\nD", "D"], ["D: Venice", "D"], ["Water flows there.\n**C**", "C"]])(
  "last line: %j -> %s", (completion, label) => {
    expect(readChoice(completion, canals)).toEqual({ label, rule: "last_line" });
  });

test.each([["The answer is Venice.", "D"], ["The answer is a bridge", "E"], ["Venice", "D"], ["It must be in Venice.", "D"]])(
  "by the only text named: %j -> %s", (completion, label) => expect(extractChoice(completion, canals)).toBe(label));

test.each([
  "The answer is A or B", "(B) or (C)", "The answer is (B) or (C).", "The answer is not B", "The answer is F", "d", "",
  "Answer: (a) Michigan (b) New York (c)", "The answer is (A) Michigan, (B) New York", "The answer is a or b", "The answer is a, b.",
  "It is not Venice.", "Between Venice and Amsterdam.", "None of the options", "The answer is unclear.",
  "A) Michigan\nB) New York\nC) Amsterdam\nD) Venice\nE) bridge", "Options A, B and C are wrong",
])("%j chooses nothing", (completion) => expect(extractChoice(completion, canals)).toBeNull());

test("the article is not the letter A", () => {
  const read = (completion: string, choices: readonly Choice[] = fog) => extractChoice(completion, choices);
  expect(read("The answer is a desert")).toBe("D");
  expect(read("The answer is A desert")).toBe("D");
  expect(read("The answer is A marsh.")).toBe("A");
  expect(read("The answer is A")).toBe("A");
  expect(read("a")).toBeNull();
});

test("an option inside a longer one is not named by it; equal texts name nobody", () => {
  const lunch = toChoices(["lunch", "have lunch with friends"], "here");
  expect(extractChoice("The answer is have lunch with friends", lunch)).toBe("B");
  expect(extractChoice("The answer is lunch", lunch)).toBe("A");
  expect(extractChoice("The answer is lunch", toChoices(["lunch", "Lunch"], "here"))).toBeNull();
});

test("a marker inside an option's own text is not the student's", () => {
  const choices = toChoices(["say what the right answer is when they err", "shrug"], "here");
  expect(extractChoice("Thus, the answer is (a) say what the right answer is when they err", choices))
    .toBe("A");
});

test("no string throws or is searched without end; what is read is a label", () => {
  const random = new KeyedRandom(1, "fuzz");
  const pieces = ["A", "B", "(", ")", ".", ":", " ", "\n", "The answer is ", "answer", "Venice", "not ", "**", "\"", " or ", "e"];
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: random.between(1, 30) }, () => random.pick(pieces)).join("");
    expect([null, "A", "B", "C", "D", "E"]).toContain(extractChoice(text, canals));
  }
  // A search that backtracks would outlast the test.
  for (const piece of pieces) extractChoice(piece.repeat(3000), canals);
}, 300_000);

describe("real rationales", () => {
  for (const [task, count] of [["openbookqa", 4957], ["piqa", 16113]] as const) {
    testWith(`${task}: every FLAN-T5 train chain ends in the letter it was told`, [sharedPath(task, "llm")], async () => {
      const rows = await readRationales(sharedPath(task), "train");
      const wrong = rows.filter((row) => {
        const chain = row.chains.find((one) => one.teacher === "flan-t5")?.text ?? "";
        return extractChoice(chain, toChoices(row.choices, row.where)) !== "ABCD"[row.answer];
      });
      expect([rows.length, wrong.length]).toEqual([count, 0]);
    });
  }
});
