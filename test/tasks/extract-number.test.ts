// The answer of a math completion: the written rule, spelling by spelling, and real chains with known
// verdicts.
import { describe, expect, test } from "@jest/globals";
import { readRecords } from "../../src/data/table";
import { equalNumbers, extractNumber, normalNumber, readNumber } from "../../src/tasks/extract-number";
import { KeyedRandom } from "../../src/tasks/random";
import { sharedPath, testWith } from "../data/shared";

type Case = [completion: string, answer: string | null];

describe("behind an explicit marker", () => {
  test.each<Case>([
    ["The answer is 42.", "42"],
    ["The answer is: 42", "42"],
    ["the final answer is **42**.", "42"],
    ["The answer is $1,234.50.", "1234.5"],
    ["The answer is 109,200,000.", "109200000"],
    ["The answer is -5", "-5"],
    ["The answer is −5", "-5"],
    ["The answer is –5", "-5"],
    ["The answer is -$5.", "-5"],
    ["The answer is .5", "0.5"],
    ["The answer is 0.50 dollars", "0.5"],
    ["The answer is 3/4.", "0.75"],
    ["The answer is 2/3 of a cup", "2/3"],
    ["The answer is 5 1/2 cups", "5.5"],
    ["The answer is 25%.", "25"],
    ["The answer is 1e3", "1000"],
    ["The answer is about 12 hours.", "12"],
    ["The answer is 35 + 20 = 55 inches.", "55"],
    ["The answer is 42 (since 6 * 7 = 42).", "42"],
    ["The answer is 42, because 6 x 7 is 42.", "42"],
    ["The answer is 42 and 42 is even", "42"],
    ["The answer is that Ed had 12 more marbles than Doug.", "12"],
    ["#### 1,600", "1600"],
    ["\\boxed{\\frac{3}{4}}", "0.75"],
    ["The answer is $42$.", "42"],
    ["The answer is \\$42", "42"],
    ["A: 18", "18"],
    ["She makes 9 * 2 = $<<9*2=18>>18 every day\n#### 18", "18"],
    ["The answer is 7. No, the answer is 8.", "8"],
  ])("%j -> %j", (completion, answer) => {
    expect(readNumber(completion)).toEqual({ answer, rule: "marker" });
  });

  test.each([
    "The answer is 3 crackers and 4 cakes.", "The answer is 3, 4 or 5.", "The answer is 5 + 3.", "The answer is 10-15",
    "The answer is not 7.", "The answer is five", "The answer is unclear.", "The answer is 12:30", "The answer is 1/0",
    "The answer is 1,2345", "",
  ])("%j holds no answer", (completion) => expect(extractNumber(completion)).toBeNull());
});

describe("with no marker, in the final sentence", () => {
  test.each<Case>([
    ["42", "42"],
    ["= 42.", "42"],
    ["So 10-3 = 7", "7"],
    ["She had 8. She has 3 left.", "3"],
    ["Answer: George's final score is 30 points.", "30"],
    ["56 / 7 = 8\nThere will be 8 groups with 7 players in each group.", "8"],
    ["There will be 8 groups with 7 players in each group.", "7"],
    ["Jerry has 3.5 apples", "3.5"],
  ])("%j -> %j", (completion, answer) => {
    expect(readNumber(completion)).toEqual({ answer, rule: "final_sentence" });
  });

  test.each(["She has 5 + 3.", "So the total is 42. Hope this helps!", "COVID-19", "the 3rd one", "x2", "at 12:30"])(
    "%j holds no answer", (completion) => expect(extractNumber(completion)).toBeNull());
});

test("what follows an invented next question is not read", () => {
  expect(extractNumber("The answer is 42.\n\nQ: And 7 more? The answer is 49.")).toBe("42");
  expect(extractNumber("5 + 4 = 9. The answer is 9.\nQuestion: Tom has 3.\nAnswer: 4")).toBe("9");
});

test("a degenerate sample costs no time and gives nothing", () => {
  expect(extractNumber(`The answer is ${"9".repeat(100_000)}`)).toBeNull();
  expect(extractNumber(`The answer is 1e999`)).toBeNull();
  expect(extractNumber("= ".repeat(20_000))).toBeNull();
});

test("no string throws or is searched without end, and what is read is a number that equals itself", () => {
  const random = new KeyedRandom(1, "fuzz");
  const pieces = ["1", "42", ",", ".", "-", "$", "/", "=", " ", "\n", "The answer is ", "x", "%", "(", ")", "#### ", "a", ":"];
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: random.between(1, 40) }, () => random.pick(pieces)).join("");
    const answer = extractNumber(text);
    if (answer === null) continue;
    expect([text, equalNumbers(answer, answer), normalNumber(answer)]).toEqual([text, true, answer]);
  }
  for (const piece of pieces) extractNumber(piece.repeat(4000)); // a search that backtracks would outlast the test
}, 300_000);

describe("equality is numeric and exact", () => {
  test.each([["1,200", "1200.0"], ["3/4", "0.75"], ["$5", "5"], ["-0", "0"], ["25%", "25"], ["10/2", "5"]])(
    "%s = %s", (a, b) => expect(equalNumbers(a, b)).toBe(true));
  test.each([["1/3", "0.333"], ["5", "-5"], ["42", "42.0000001"], ["five", "5"], ["5 and 6", "5"], ["", ""]])(
    "%s is not %s", (a, b) => expect(equalNumbers(a, b)).toBe(false));
  test("normal forms", () => {
    expect(["39.0", "1,200", "-7/2", "4/6", ".50"].map(normalNumber)).toEqual(["39", "1200", "-3.5", "2/3", "0.5"]);
    expect(normalNumber("no number")).toBeNull();
  });
});

interface Chain { "chain-of-thought": string; pred: number; answer: number }

/** Share of rows whose verdict by our extraction equals the verdict published with them. */
function verdicts(rows: readonly Chain[]): { correct: number; differing: number } {
  const ours = rows.map((row) => equalNumbers(extractNumber(row["chain-of-thought"]) ?? "", String(row.answer)));
  return {
    correct: ours.filter(Boolean).length,
    differing: rows.filter((row, i) => ours[i] !== (row.pred === row.answer)).length,
  };
}

describe("real chains", () => {
  const few = sharedPath("multiarith", "text-davinci-003-few-shot-cot.json");
  testWith("MultiArith few-shot: 560 of 600, verdict for verdict", [few], async () => {
    expect(verdicts(await readRecords(few) as Chain[])).toEqual({ correct: 560, differing: 0 });
  });

  const svamp = sharedPath("svamp", "text-davinci-003-few-shot-cot.json");
  testWith("SVAMP few-shot: 803 of 1000, verdict for verdict", [svamp], async () => {
    expect(verdicts(await readRecords(svamp) as Chain[])).toEqual({ correct: 803, differing: 0 });
  });

  const free = sharedPath("multiarith", "text-davinci-003-plan-and-solve.json");
  testWith("free-form endings: 543 of 600, nine verdicts differ", [free], async () => {
    const rows = await readRecords(free) as Chain[];
    expect(verdicts(rows)).toEqual({ correct: 543, differing: 9 });
  });

  const solutions = sharedPath("gsm8k", "example_model_solutions.jsonl.gz");
  testWith("GSM8K model solutions: the published verdict, 5276 times", [solutions], async () => {
    const rows = await readRecords(solutions) as Record<string, { solution: string; is_correct: boolean }>[];
    for (const model of ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]) {
      const differing = rows.filter((row) => {
        const gold = String(row.ground_truth).split("A:").at(-1) ?? "";
        const { solution = "", is_correct = false } = row[model] ?? {};
        return equalNumbers(extractNumber(solution) ?? "", gold.trim()) !== is_correct;
      });
      expect({ model, differing: differing.length }).toEqual({ model, differing: 0 });
    }
  });
});
