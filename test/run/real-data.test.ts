// The run files of this repository on the real questions and chains they are written for: their counts, and
// the leaks that are in the data.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, jest, test } from "@jest/globals";
import { readRunFile } from "../../src/config/run-file";
import { leakTest, loadQuestions } from "../../src/run/questions";
import { events, selfrefine, temporary, TINY_RUN, writeRunFile } from "../cli/command";
import { sharedPath, testWith } from "../data/shared";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

const configs = resolve(__dirname, "../../configs");
const dataDir = sharedPath();
const read = (name: string) => readRunFile(join(configs, name), { data_dir: dataDir });

testWith(
  "MultiArith: 5 train questions recur in its test half and are left out",
  [sharedPath("multiarith")],
  async () => {
    const run = await read("multiarith.yaml");
    const { asked, train, sets, leakage } = await loadQuestions(run);
    expect([asked.length, train.length, leakage.dropped, leakage.left]).toEqual([420, 415, 5, 0]);
    expect(sets.map(({ task, domain, questions }) => [task.name, domain, questions.length])).toEqual([
      ["multiarith", "in", 180],
      ["svamp", "out", 150],
      ["gsm8k", "out", 1319],
    ]);
    await expect(loadQuestions({ ...run, leakage: "error" })).rejects.toMatchObject({
      code: "ERR_DATA",
      message: expect.stringMatching(/evaluation questions are in the train set:\n\s+multiarith-\d+ equals/),
    });
  },
);

testWith("SVAMP: nothing recurs", [sharedPath("svamp")], async () => {
  const { asked, train, leakage } = await loadQuestions(await read("svamp.yaml"));
  expect([asked.length, train.length, leakage.found.exact]).toEqual([700, 700, 0]);
});

testWith(
  "a text for pre-training that holds an evaluation question is found",
  [sharedPath("multiarith")],
  async () => {
    const { sets } = await loadQuestions(await read("multiarith.yaml"));
    const leaks = leakTest(sets);
    const question = sets[2]!.questions[7]!.question;
    expect(leaks(`Some book.\n"${question.toUpperCase()}" he said. More text.`)).toBe(true);
    expect(leaks(question.slice(0, question.length / 2))).toBe(false);
    expect(leaks("A text of its own about nothing in particular, long enough to be one.")).toBe(false);
  },
);

testWith(
  "392 of the 420 chains for MultiArith's train questions are right",
  [sharedPath("multiarith")],
  async () => {
    const outcome = await selfrefine([
      "demos",
      "--task",
      "multiarith",
      "--data",
      sharedPath("multiarith"),
      "--kind",
      "file",
      "--files",
      sharedPath("multiarith", "text-davinci-003-few-shot-cot.json"),
      "--filter",
      "correct",
      "--json",
      "--output",
      join(place.path, "demos.jsonl"),
    ]);
    expect(outcome.code).toBe(0);
    expect(events(outcome).at(-1)).toMatchObject({
      questions: 420,
      total: { demonstrations: 420, correct: 392, kept: 392 },
    });
  },
);

test("without the data, the error says where it is looked for and how to say it", async () => {
  const nowhere = join(place.path, "nowhere");
  const outcome = await selfrefine(["run", join(configs, "svamp.yaml")], {
    env: { SELFREFINE_SHARED: nowhere },
  });
  expect(existsSync(nowhere)).toBe(false);
  expect([outcome.code, outcome.stderr]).toEqual([
    2,
    expect.stringMatching(
      /svamp\.yaml:5: data_dir: .*nowhere\/data does not exist; get the data there, or say where it is with --data-dir/,
    ),
  ]);
});

const stories = sharedPath("stories260K", "stories260K.bin");

testWith("a llama2.c model with its own vocabulary tells its golden story", [stories], async () => {
  const prompts = join(place.path, "prompts.jsonl");
  writeFileSync(prompts, JSON.stringify({ prompt: "Once upon a time" }));
  const output = join(place.path, "story.jsonl");
  const outcome = await selfrefine([
    "sample",
    "--model",
    stories,
    "--tokenizer",
    sharedPath("stories260K", "tok512.bin"),
    "--prompts",
    prompts,
    "--temperature",
    "0",
    "--max-new-tokens",
    "40",
    "--output",
    output,
  ]);
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  expect((JSON.parse(readFileSync(output, "utf8")) as { completion: string }).completion).toBe(
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.",
  );
});

testWith("a llama2.c model can be the student of a run", [stories], async () => {
  const student = { path: stories, tokenizer: sharedPath("stories260K", "tok512.bin") };
  const output = join(place.path, "stories");
  const file = writeRunFile(place.path, {
    student,
    controls: [],
    tasks: { train: { task: "wordproblems" }, in_domain: [{ task: "wordproblems" }] },
    sft: { ...TINY_RUN.sft, max_length: 400 },
    dpo: { ...TINY_RUN.dpo, max_length: 400 },
  });
  const outcome = await selfrefine(["run", file, "--output", output, "--quiet"]);
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  const summary = JSON.parse(readFileSync(join(output, "summary.json"), "utf8")) as { student: object };
  expect(summary.student).toEqual({ parameters: 260_032, vocab_size: 512, path: "stories260K.bin" });
});
