// Benchmarks from files: the shapes they are published in, the Hugging Face shapes, and what bad files say.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import type { Split } from "../../src/data/records";
import { TASK_NAMES, getTask } from "../../src/tasks";
import { teacherPrompt } from "../../src/tasks/prompt";
import { sharedPath, testWith } from "../data/shared";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-tasks-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Writes one file of rows and loads it as a split of a task. */
async function loadRows(task: string, file: string, rows: readonly unknown[], split: Split = "test") {
  const dir = mkdtempSync(join(directory, "dir-"));
  writeFileSync(join(dir, file), rows.map((row) => JSON.stringify(row)).join("\n"));
  return getTask(task).load(dir, split);
}

describe("real files", () => {
  const expected: [string, Split, number][] = [
    ["gsm8k", "train", 7473], ["gsm8k", "test", 1319], ["multiarith", "train", 420], ["multiarith", "test", 180],
    ["multiarith", "all", 600], ["svamp", "train", 700], ["svamp", "validation", 150], ["svamp", "test", 150],
    ["svamp", "all", 1000], ["openbookqa", "train", 4957], ["openbookqa", "validation", 500], ["openbookqa", "test", 500],
    ["piqa", "train", 16113], ["piqa", "validation", 919], ["piqa", "test", 919], ["commonsenseqa", "train", 9741],
    ["commonsenseqa", "validation", 1221], ["siqa", "test", 1954],
  ];
  for (const [name, split, count] of expected) {
    testWith(`${name} ${split}: ${count} questions, ids unique, every gold reads as itself`, [sharedPath(name)], async () => {
      const task = getTask(name);
      const questions = await task.load(sharedPath(name), split);
      expect(questions).toHaveLength(count);
      expect(new Set(questions.map((one) => one.id)).size).toBe(count);
      const unread = questions.filter((one) => {
        const answer = task.extract(`The answer is ${one.gold}.`, one);
        return answer === null || !task.equal(answer, one.gold);
      });
      expect(unread).toEqual([]);
      expect(questions.filter((one) => task.input(one).includes("The answer is"))).toHaveLength(0);
    });
  }
});

describe("Hugging Face rows", () => {
  test("openbookqa and commonsenseqa with label lists, digits become letters", async () => {
    const choices = { text: ["one", "two"], label: ["1", "2"] };
    const [obqa] = await loadRows("openbookqa", "test.jsonl", [{ id: "7", question_stem: "Which?", choices, answerKey: "2" }]);
    expect(obqa).toMatchObject({
      id: "7", gold: "B", choices: [{ label: "A", text: "one" }, { label: "B", text: "two" }],
    });
    const [csqa] = await loadRows("commonsenseqa", "validation.jsonl",
      [{ id: "x", question: "Which?", choices: { text: ["one", "two"], label: ["A", "B"] }, answerKey: "A" }], "validation");
    expect(csqa).toMatchObject({ question: "Which?", gold: "A" });
  });
  test("piqa, siqa, multiarith and svamp", async () => {
    const [piqa] = await loadRows("piqa", "train.jsonl", [{ goal: "Open it", sol1: "pull", sol2: "push", label: 1 }], "train");
    expect(piqa).toMatchObject({ question: "Open it", gold: "B" });
    const [siqa] = await loadRows("siqa", "train.jsonl",
      [{ context: "Al fell.", question: "Why?", answerA: "ice", answerB: "sun", answerC: "fun", label: "1" }], "train");
    expect(siqa).toMatchObject({ question: "Al fell. Why?", gold: "A" });
    const [multi] = await loadRows("multiarith", "test.jsonl", [{ question: "2 + 3?", final_ans: "5" }]);
    const [other] = await loadRows("multiarith", "train.jsonl", [{ question: "2 + 4?", final_ans: "6" }], "train");
    expect(other?.id).not.toBe(multi?.id);
    expect(multi).toMatchObject({ question: "2 + 3?", gold: "5" });
    const [svamp] = await loadRows("svamp", "test.jsonl", [{ Body: "Al has 3", Question: "How many?", Answer: "3.0" }]);
    expect(svamp).toMatchObject({ question: "Al has 3. How many?", gold: "3" });
  });
});

test("the teacher's prompt has the published layout", () => {
  const task = getTask("commonsenseqa");
  const texts = ["Michigan", "New York", "Amsterdam", "Venice", "Bridge"];
  const prompt = teacherPrompt(task, {
    id: "1", task: task.name, split: "train", question: "Where in Southern Europe would you find many canals?", gold: "D",
    choices: texts.map((text, index) => ({ label: "ABCDE"[index] ?? "", text })),
  });
  expect(prompt).toBe(`Choose the answer to the question only from options A, B, C, D, E.
Question: Where in Southern Europe would you find many canals?
Choices:
A) Michigan
B) New York
C) Amsterdam
D) Venice
E) Bridge
Answer: Let's think step-by-step`);
});

describe("bad input is named", () => {
  test("unknown task, unknown split, missing file", async () => {
    expect(() => getTask("gsm9k")).toThrow(`\`task\` is "gsm9k", wanted one of ${TASK_NAMES.join(", ")}; did you mean gsm8k?`);
    await expect(getTask("gsm8k").load(directory, "validation"))
      .rejects.toThrow('gsm8k has no split "validation"');
    await expect(getTask("gsm8k").load(directory, "test"))
      .rejects.toThrow(/gsm8k: .* holds none of test\.jsonl, /);
  });
  test.each([
    ["gsm8k", "test.jsonl", { question: "q", answer: "no mark" }, /test\.jsonl:1: answer ends "no mark", wanted "####/],
    ["gsm8k", "test.jsonl", { question: "", answer: "#### 1" }, /:1: field "question" is "", wanted a text; the row has/],
    ["gsm8k", "test.jsonl", [1], /:1: got \[1\], wanted an object/],
    ["openbookqa", "obqa_test.json", { id: "1", question: "q", choices: ["a", "b"], answer: "c" }, /gold "c" is none of/],
    ["openbookqa", "obqa_test.json", { id: "1", question: "q", choices: ["a"], answer: "a" }, /got 1 answer options/],
    ["openbookqa", "test.jsonl", { id: "1", question_stem: "q", choices: { text: ["a", "b"], label: ["A", "B"] } },
      /answerKey is absent: this split has no gold answers/],
    ["siqa", "social_i_qa.test.json", { instruction: "what?", answer: "answer1" }, /instruction is not "Please choose/],
    ["svamp", "test.json", { instruction: "q", label: "many" }, /gold is "many", wanted a number/],
  ])("%s %s %j", async (task, file, row, message) => {
    await expect(loadRows(task, file, [row])).rejects.toThrow(message);
  });
});
