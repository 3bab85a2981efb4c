// Demonstrations from files of every shape: what is matched, judged, filtered and counted.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import type { Question, Split } from "../../src/data/records";
import { getTask } from "../../src/tasks";
import type { TeacherAnswer } from "../../src/teacher/answers";
import { type DemonstrationOptions, demonstrate, demonstrateStandalone } from "../../src/teacher/demonstrations";
import { directAnswers, proceduralAnswers } from "../../src/teacher/procedural";
import { readAnswers } from "../../src/teacher/sources";
import { sharedPath, testWith } from "../data/shared";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-teacher-"));
afterAll(() => rmSync(directory, { recursive: true }));

function write(name: string, rows: readonly unknown[]): string {
  const path = join(directory, name);
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return path;
}

async function real(task: string, split: Split, file: string, options: DemonstrationOptions = {}) {
  const questions = await getTask(task).load(sharedPath(task), split);
  return demonstrate(getTask(task), questions, await readAnswers(sharedPath(file)), options);
}

describe("real teachers", () => {
  const fewShot = "multiarith/text-davinci-003-few-shot-cot.json";
  testWith("MultiArith train: 392 of 420 right, the rest dropped by the filter", [sharedPath(fewShot)], async () => {
    const all = await real("multiarith", "train", fewShot);
    expect(all.report).toMatchObject({
      questions: 420, covered: 420, not_in_split: 180,
      total: { demonstrations: 420, extracted: 420, with_gold: 420, correct: 392, kept: 420, answer_first: 0 },
    });
    expect(all.demonstrations[0]).toMatchObject({
      id: "multiarith-0", target: "39", gold: "39", correct: true, answer_first: false, cut_off: false,
      teacher: "text-davinci-003-few-shot-cot",
    });
    expect(all.demonstrations[0]?.output).toMatch(/^Debby had 32 .* The answer is 39\.$/);
    const right = await real("multiarith", "train", fewShot, { filter: "correct" });
    expect(right.demonstrations).toHaveLength(392);
    expect(right.report).toMatchObject({ covered: 392, total: { correct: 392, kept: 392 } });
  });

  const plan = "multiarith/text-davinci-003-plan-and-solve.json";
  testWith("a second prompt, rows in another order: matched by id and text", [sharedPath(plan)], async () => {
    const { report } = await real("multiarith", "train", plan);
    expect(report).toMatchObject({
      covered: 420, not_in_split: 180, total: { extracted: 419, correct: 383, cut_off: 19 },
    });
  });

  testWith("SVAMP train: ten chains a question", [sharedPath("svamp")], async () => {
    const { report } = await real("svamp", "train", "svamp/train.json.gz");
    expect(report).toMatchObject({
      questions: 700, covered: 700, total: { demonstrations: 7000, extracted: 6568, correct: 4858 },
    });
    const few = await real("svamp", "train", "svamp/train.json.gz", { filter: "correct", max_per_question: 2 });
    const each = few.demonstrations.map((one) => one.id);
    expect(Math.max(...[...new Set(each)].map((id) => each.filter((one) => one === id).length))).toBe(2);
  });

  testWith("GSM8K: human chains, and model solutions to test questions that train does not get", [sharedPath("gsm8k")], async () => {
    const human = await real("gsm8k", "train", "gsm8k/train.jsonl.gz");
    expect(human.report.by_teacher).toMatchObject({ human: { demonstrations: 7473, correct: 7473 } });
    expect(human.demonstrations[0]?.output)
      .toMatch(/= 72 clips altogether in April and May\.\nThe answer is 72\.$/);
    const solutions = "gsm8k/example_model_solutions.jsonl.gz";
    expect((await real("gsm8k", "train", solutions)).report).toMatchObject({
      covered: 0, not_in_split: 5276,
    });
    expect((await real("gsm8k", "test", solutions)).report.by_teacher).toMatchObject({
      "example_model_solutions/175b_verification": { demonstrations: 1319, correct: 742 },
      "example_model_solutions/6b_finetuning": { demonstrations: 1319, correct: 286 },
    });
  });

  testWith("OpenBookQA: two teachers in one string, the second cut off and weak", [sharedPath("openbookqa")], async () => {
    const { report } = await real("openbookqa", "train", "openbookqa");
    expect(report.by_teacher).toMatchObject({
      "flan-t5": { demonstrations: 4957, correct: 4957 }, "llama-2": { demonstrations: 4957, correct: 633 },
    });
    expect(report.by_teacher["llama-2"]?.cut_off).toBeGreaterThan(3500);
    expect(report.by_teacher["flan-t5"]?.cut_off).toBeLessThan(10);
  });

  testWith("PIQA: train from the rationale strings alone", [sharedPath("piqa")], async () => {
    const { report } = await real("piqa", "train", "piqa");
    expect(report).toMatchObject({ questions: 16113, covered: 16113, total: { correct: 16113 } });
  });

  const ecqa = "commonsenseqa/ecqa_human_rationales.tsv.gz";
  testWith("CommonsenseQA: human rationales, 794 of them to dev questions", [sharedPath(ecqa)], async () => {
    const { report, demonstrations } = await real("commonsenseqa", "train", ecqa);
    expect(report).toMatchObject({
      covered: 6318, not_in_split: 794, by_teacher: { human: { correct: 6318, extracted: 6318 } },
    });
    expect(demonstrations[0]?.output).toMatch(/brutal killing\.\nThe answer is A\) bloody mess\.$/);
  });
});

describe("files of one's own", () => {
  test("instruction, input, output: instruction and input stay as they are", async () => {
    const path = write("alpaca.jsonl", [
      { instruction: "Solve.", input: "2 + 3?", output: "2 + 3 = 5. The answer is 5.", gold: 5, teacher: "me" },
      { instruction: "Solve.", input: "2 + 4?", output: "The answer is 7. Because 2 + 4 = 6 + 1.", gold: "6" },
      { instruction: "Solve.", input: "2 + 5?", output: "Let me see." },
    ]);
    const { demonstrations, report } = demonstrateStandalone(getTask("gsm8k"), await readAnswers(path));
    expect(demonstrations.map(({ instruction, input, teacher, target, correct, answer_first }) =>
      [instruction, input, teacher, target, correct, answer_first])).toEqual([
      ["Solve.", "2 + 3?", "me", "5", true, false],
      ["Solve.", "2 + 4?", "alpaca", "7", false, true],
      ["Solve.", "2 + 5?", "alpaca", null, null, null],
    ]);
    expect(report.total).toMatchObject({
      demonstrations: 3, extracted: 2, with_gold: 2, correct: 1, answer_first: 1, order_known: 2,
    });
  });

  test("prompt and completion, plain and as messages", async () => {
    const path = write("chat.jsonl", [
      { prompt: "2 + 3?", completion: "The answer is 5." },
      { prompt: [{ role: "system", content: "Be brief." }, { role: "user", content: "2 + 4?" }],
        completion: [{ role: "assistant", content: "The answer is 6." }] },
    ]);
    const { demonstrations } = demonstrateStandalone(getTask("gsm8k"), await readAnswers(path));
    expect(demonstrations.map(({ instruction, target }) => [instruction, target]))
      .toEqual([["2 + 3?", "5"], ["2 + 4?", "6"]]);
  });

  test("choice questions take their options from the input", async () => {
    const row = { instruction: "Choose.", input: "Question: Hot?\nChoices:\nA) ice\nB) fire", output: "Ice is cold. The answer is B) fire.", answer: "fire" };
    const { demonstrations } = demonstrateStandalone(getTask("openbookqa"), await readAnswers(write("choice.jsonl", [row])));
    expect(demonstrations[0]).toMatchObject({ target: "B", gold: "B", correct: true });
    const bare = await readAnswers(write("bare.jsonl", [{ ...row, input: "Hot?" }]));
    expect(() => demonstrateStandalone(getTask("openbookqa"), bare))
      .toThrow(/bare\.jsonl:1: no options found; openbookqa wants/);
  });

  test("what is no demonstration is named", async () => {
    await expect(readAnswers(write("odd.jsonl", [{ text: "hello" }])))
      .rejects.toThrow(/odd\.jsonl:1: fields text are no known shape/);
    await expect(readAnswers(write("empty.jsonl", []))).rejects.toThrow("holds no rows");
    await expect(readAnswers(join(directory, "absent.jsonl"))).rejects.toThrow(/cannot read .*absent\.jsonl/);
    await expect(readAnswers(write("half.jsonl", [{ instruction: "a", output: "b" }, { instruction: "a", output: 3 }])))
      .rejects.toThrow(/half\.jsonl:2: field "output" is 3, wanted a text/);
  });
});

test("a train question's twin in test does not give its chain away", () => {
  const task = getTask("multiarith");
  const twin: Question = { id: "multiarith-1", task: "multiarith", split: "train", question: "2 + 3?", gold: "5" };
  const answer = (key: number, output: string): TeacherAnswer =>
    ({ question: " 2 + 3? ", output, teacher: "t", key, where: `f:${key}` });
  const { demonstrations, report } = demonstrate(task, [twin], [answer(0, "The answer is 4."), answer(1, "The answer is 5.")]);
  expect(demonstrations.map((one) => one.output)).toEqual(["The answer is 5."]);
  expect(report.not_in_split).toBe(1);
});

describe("the procedural teacher", () => {
  const load = () => getTask("wordproblems", { wordproblems: { train: 2000 } }).load("", "train");

  test("errs at the stated rate, in coherent chains that end elsewhere", async () => {
    const questions = await load();
    const task = getTask("wordproblems");
    for (const rate of [0, 0.1, 0.5]) {
      const answers = proceduralAnswers(questions, { error_rate: rate });
      const { report, demonstrations } = demonstrate(task, questions, answers);
      const wrong = report.total.demonstrations - report.total.correct;
      const spread = 4 * Math.sqrt(rate * (1 - rate) * 2000);
      expect(Math.abs(wrong - rate * 2000)).toBeLessThanOrEqual(spread);
      expect(report.total).toMatchObject({ extracted: 2000, answer_first: 0, cut_off: 0 });
      expect(Object.keys(report.by_teacher).sort())
        .toEqual(["procedural/narrated", "procedural/ordered", "procedural/terse"]);
      for (const { output, target } of demonstrations) {
        const steps = [...output.matchAll(/(\d+) [-+x/] \d+ = (\d+)/g)];
        steps.forEach((step, i) => { if (i > 0) expect(step[1]).toBe(steps[i - 1]?.[2]); });
        expect(steps.at(-1)?.[2]).toBe(target);
      }
    }
  });

  test("all three kinds of error occur", async () => {
    const questions = await load();
    const chains = proceduralAnswers(questions, { error_rate: 1, styles: ["terse"] }).map((one) => one.output);
    const lengths = chains.map((chain, i) => chain.split("=").length - (questions[i]?.rationale ?? "").split("=").length);
    const value = (a: number, sign: string, b: number) => ({ "+": a + b, "-": a - b, x: a * b, "/": a / b })[sign];
    const slips = chains.filter((chain) => [...chain.matchAll(/(\d+) ([-+x/]) (\d+) = (\d+)/g)]
      .some(([, a, sign, b, c]) => value(Number(a), sign ?? "", Number(b)) !== Number(c)));
    const dropped = lengths.filter((one) => one === -1).length;
    expect(dropped).toBeGreaterThan(200);
    expect(slips.length).toBeGreaterThan(200);
    expect(chains.length - dropped - slips.length).toBeGreaterThan(200);
  });

  test("one question's chains do not depend on the others; options are checked", async () => {
    const questions = await load();
    const options = { seed: 5, per_question: 3 };
    expect(proceduralAnswers(questions.slice(7, 8), options))
      .toEqual(proceduralAnswers(questions, options).slice(21, 24));
    expect(proceduralAnswers(questions, { seed: 6 })).not.toEqual(proceduralAnswers(questions, { seed: 5 }));
    expect(() => proceduralAnswers(questions, { error_rate: 2 }))
      .toThrow("`teacher.error_rate` is 2, wanted a share from 0 to 1");
    expect(() => proceduralAnswers([{ ...questions[0]!, rationale: "" }]))
      .toThrow("no solution to teach from");
  });

  test("answer-first chains are read, judged and counted as such", async () => {
    const questions = await load();
    const answers = proceduralAnswers(questions, { error_rate: 0, styles: ["answer_first"] });
    const { report } = demonstrate(getTask("wordproblems"), questions, answers);
    expect(report.total).toMatchObject({ extracted: 2000, correct: 2000, answer_first: 2000, cut_off: 0 });
    expect(answers[0]?.output).toMatch(/^The answer is \d+\. \d+ [-+x/] \d+ = \d+\./);
  });

  test("direct answers hold no chain", async () => {
    const questions = await load();
    expect(directAnswers(questions)[0]?.output).toBe(`The answer is ${questions[0]?.gold}.`);
  });
});
