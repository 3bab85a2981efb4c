// A whole run as a user starts it: what it leaves, what it does not do twice, and what a changed option
// costs.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { contents, events, selfrefine, temporary, writeRunFile, type Outcome } from "../cli/command";

interface Summary {
  matrix: {
    columns: { name: string; pooled: boolean }[];
    rows: { model: string; cells: Record<string, { n: number; accuracy: number }> }[];
  };
  demonstrations: { questions: number; total: { demonstrations: number; correct: number; kept: number } };
  data: { leakage: { left: number } };
  trainings: { stage: string; steps: Record<string, number>[] }[];
  stages: { name: string; cached: boolean }[];
  pairs: { pairs: number }[];
}

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
const output = join(place.path, "out");
const run = (...more: string[]): Promise<Outcome> =>
  selfrefine(["run", join(place.path, "tiny.json"), "--output", output, "--json", ...more]);
const ended = (outcome: Outcome) => events(outcome).filter(({ type }) => type === "stage_end");
const summaryOf = () => JSON.parse(readFileSync(join(output, "summary.json"), "utf8")) as Summary;

let first: Outcome;

beforeAll(async () => {
  writeRunFile(place.path);
  first = await run();
}, 300_000);
afterAll(place.remove);

describe("a run", () => {
  test("ends with a summary and one self-contained report", () => {
    expect(first.stderr).not.toMatch(/error/);
    expect(first.code).toBe(0);
    const report = readFileSync(join(output, "report.html"), "utf8");
    expect(report).toContain("<svg");
    expect(report).not.toMatch(/(src|href)=["']?(https?:|\/\/)|<script|@import/);
  });

  test("measures base, instruction-tuned, self-refined and the control in and out of domain", () => {
    const { matrix } = summaryOf();
    expect(matrix.rows.map(({ model }) => model)).toEqual([
      "base",
      "instruction-tuned",
      "self-refined",
      "fine-tuning on chosen paths",
    ]);
    expect(matrix.columns.map(({ name }) => name)).toEqual([
      "wordproblems",
      "wordproblems-order",
      "wordproblems-longer",
      "out",
    ]);
    for (const { cells } of matrix.rows) expect(cells["out"]?.n).toBe(16);
  });

  test("counts demonstrations, proves the absence of leaks and starts DPO at its reference", () => {
    const { demonstrations, data, trainings, pairs } = summaryOf();
    expect(demonstrations.questions).toBe(32);
    expect(demonstrations.total.demonstrations).toBe(32);
    expect(demonstrations.total.kept).toBe(demonstrations.total.correct);
    expect(demonstrations.total.correct).toBeLessThan(32);
    expect(data.leakage.left).toBe(0);
    expect(pairs[0]?.pairs).toBeGreaterThan(0);
    const dpo = trainings.find(({ stage }) => stage === "dpo");
    expect(dpo?.steps[0]?.["rewards/margins"]).toBe(0);
    expect(dpo?.steps[0]?.loss).toBeCloseTo(Math.LN2, 6);
    expect(trainings.map(({ stage }) => stage)).toEqual(["base", "sft", "dpo", "rejection-sampling"]);
  });

  test("tells its events as JSON lines and nothing else on stdout", () => {
    const lines = first.stdout.trim().split("\n");
    expect(lines.every((line) => line.startsWith("{"))).toBe(true);
    const kinds = new Set(events(first).map(({ type }) => type));
    for (const kind of ["stage_begin", "stage_end", "progress", "train_step", "finished"])
      expect(kinds).toContain(kind);
    expect(ended(first).every(({ cached }) => cached === false)).toBe(true);
  });

  test("computes nothing twice", async () => {
    const before = contents(join(output, "stages"));
    const again = await run();
    expect(again.code).toBe(0);
    expect(ended(again).length).toBe(ended(first).length);
    expect(ended(again).every(({ cached }) => cached === true)).toBe(true);
    expect(contents(join(output, "stages"))).toEqual(before);
  });

  test("recomputes what an option decides and nothing before it", async () => {
    const changed = await run("--set", "dpo.beta=0.5");
    const anew = ended(changed)
      .filter(({ cached }) => !cached)
      .map(({ stage }) => stage);
    expect(anew).toEqual([
      "dpo",
      "eval-self-refined-wordproblems",
      "eval-self-refined-wordproblems-order",
      "eval-self-refined-wordproblems-longer",
    ]);
  });

  test("gives the same bytes with other threads and another batch of decoding", async () => {
    const other = join(place.path, "other");
    const outcome = await selfrefine([
      "run",
      join(place.path, "tiny.json"),
      "--output",
      other,
      "--quiet",
      "--threads",
      "1",
      "--set",
      "sample.max_batch=3",
    ]);
    expect(outcome.code).toBe(0);
    const ours = contents(join(output, "stages"));
    for (const [path, hash] of Object.entries(contents(join(other, "stages")))) {
      expect([path, ours[path]]).toEqual([path, hash]);
    }
  });

  test("leaves no unfinished work behind", () => {
    expect(existsSync(join(output, "work")) ? Object.keys(contents(join(output, "work"))) : []).toEqual([]);
  });
});

test("an answer that the student's positions have no room for is refused before anything is trained", async () => {
  const tight = join(place.path, "tight");
  const outcome = await selfrefine([
    "run",
    join(place.path, "tiny.json"),
    "--output",
    tight,
    "--json",
    "--set",
    "evaluation.max_new_tokens=220",
  ]);
  expect([outcome.code, outcome.stderr]).toEqual([
    2,
    expect.stringMatching(/question \S+ of wordproblems is a prompt of \d+ tokens; with evaluation\.max_new_tokens 220/),
  ]);
  expect(ended(outcome).map(({ stage }) => stage)).toEqual(["demos", "tokenizer"]);
});

test("a later round that finds no pairs ends the rounds, not the run", async () => {
  const wrecked = join(place.path, "wrecked");
  // A student wrecked by the first round never ends a completion: the second has nothing to pair.
  const change = ["iterations=3", "dpo.learning_rate=0.5", "controls=[]"].flatMap((one) => ["--set", one]);
  const outcome = await selfrefine(["run", join(place.path, "tiny.json"), "--output", wrecked, "--quiet", ...change]);
  const why = /^warning: dpo-2: no preference pairs: of 32 questions 0 were answered right by every sample .*\n$/;
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.stringMatching(why)]);
  const { notes, matrix, pairs } = JSON.parse(readFileSync(join(wrecked, "summary.json"), "utf8")) as Summary & {
    notes: string[];
  };
  expect(notes).toEqual(["round 2 found no pairs: self-refined is the model of round 1"]);
  expect(pairs.map((round) => round.pairs > 0)).toEqual([true, false]);
  expect(matrix.rows.map(({ model }) => model)).toEqual(["base", "instruction-tuned", "self-refined"]);
});

test("several seeds are summarised with every seed in it", async () => {
  const seeds = join(place.path, "seeds");
  const outcome = await selfrefine([
    "run",
    join(place.path, "tiny.json"),
    "--output",
    seeds,
    "--seeds",
    "0,1",
    "--set",
    "controls=[]",
    "--set",
    "evaluation.max_new_tokens=8",
  ]);
  expect(outcome.code).toBe(0);
  const record = JSON.parse(readFileSync(join(seeds, "seeds.json"), "utf8")) as {
    seeds: number[];
    leaked: number;
    pairs: { iteration: number; questions: number }[][];
    rows: { model: string; cells: Record<string, { values: number[]; versus_baseline?: { n: number } }> }[];
  };
  expect(record.seeds).toEqual([0, 1]);
  expect(record.leaked).toBe(0);
  for (const seed of [0, 1]) {
    const summary = JSON.parse(readFileSync(join(seeds, `seed-${seed}`, "summary.json"), "utf8")) as typeof record;
    expect(record.pairs[seed]).toEqual(summary.pairs);
    expect(record.pairs[seed]).toMatchObject([{ iteration: 0 }]);
  }
  const refined = record.rows.find(({ model }) => model === "self-refined");
  expect(refined?.cells["wordproblems"]?.values.length).toBe(2);
  expect(refined?.cells["wordproblems"]?.versus_baseline?.n).toBe(2);
  expect(
    existsSync(join(seeds, "seed-0", "report.html")) && existsSync(join(seeds, "seed-1", "report.html")),
  ).toBe(true);
  expect(outcome.stdout).toContain("mean over 2 seeds");
}, 300_000);

test("rounds of phase 2 start from the last model; DPO without phase 1 is a row of its own", async () => {
  const rounds = join(place.path, "rounds");
  const outcome = await selfrefine([
    "run",
    join(place.path, "tiny.json"),
    "--output",
    rounds,
    "--json",
    "--set",
    "iterations=2",
    "--set",
    "controls=[dpo_without_sft]",
    "--set",
    "evaluation.votes=3",
    "--set",
    "evaluation.temperature=0.7",
  ]);
  expect(outcome.code).toBe(0);
  const { matrix, trainings, pairs, notes } = JSON.parse(
    readFileSync(join(rounds, "summary.json"), "utf8"),
  ) as Omit<Summary, "pairs"> & { notes: string[]; pairs: { iteration: number }[] };
  const models = matrix.rows.map(({ model }) => model);
  expect(models.slice(0, 4)).toEqual(["base", "instruction-tuned", "self-refined, round 1", "self-refined"]);
  expect(
    models.includes("DPO without instruction-tuning") || notes.some((note) => note.includes("not run")),
  ).toBe(true);
  expect(pairs.map(({ iteration }) => iteration)).toEqual([0, 1]);
  for (const { stage, steps } of trainings.filter(({ stage }) => stage.startsWith("dpo"))) {
    expect([stage, steps[0]?.["rewards/margins"]]).toEqual([stage, 0]);
  }
}, 300_000);
