// The method stage by stage on files, as a user chains the verbs; what they write is what others read;
// interrupted work goes on; outputs are never overwritten unasked.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import {
  contents,
  events,
  type Outcome,
  selfrefine,
  temporary,
  writeRunFile,
  type StartOptions,
} from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

const QUESTIONS = ["--task", "wordproblems", "--wordproblems-train", "24", "--wordproblems-test", "6"];
const PROMPTS = ["--template", "plain"];
const TRAIN = ["--batch-size", "8", "--max-length", "256"];

const cli = (args: string[], options: StartOptions = {}): Promise<Outcome> =>
  selfrefine(args, { cwd: place.path, ...options });
const records = (name: string): Record<string, unknown>[] =>
  readFileSync(join(place.path, name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const done = async (args: string[]): Promise<Outcome> => {
  const outcome = await cli(args);
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  return outcome;
};

let base = "";

beforeAll(async () => {
  const run = await cli(["run", writeRunFile(place.path, { controls: [] }), "--output", "run", "--quiet"]);
  expect(run.code).toBe(0);
  const stages = join(place.path, "run", "stages");
  base = join(
    stages,
    readdirSync(stages).find((name) => name.startsWith("base-"))!,
    "model",
  );
}, 300_000);

describe("the verbs in a chain", () => {
  test("demos writes judged demonstrations in Alpaca's fields", async () => {
    const outcome = await done([
      "demos",
      ...QUESTIONS,
      "--error-rate",
      "0.5",
      "--filter",
      "correct",
      "--output",
      "demos.jsonl",
    ]);
    expect(outcome.stdout).toMatch(
      /demos\.jsonl: \d+ demonstrations of \d+ of 24 questions; \d+ of 24 answers right/,
    );
    expect(
      records("demos.jsonl").every(
        ({ instruction, output, correct }) => instruction && output && correct === true,
      ),
    ).toBe(true);
    const audit = await done(["inspect", "demos.jsonl", "--model", base, ...PROMPTS]);
    expect(audit.stdout).toContain("no findings");
    const shapes = await done(["inspect", "demos.jsonl"]);
    expect(shapes.stdout).toContain("no audit without a tokenizer: --model names the one its rows are encoded with");
  });

  test("sft writes a Hugging Face directory with its log", async () => {
    await done([
      "sft",
      "--model",
      base,
      "--train",
      "demos.jsonl",
      "--output",
      "tuned",
      ...PROMPTS,
      ...TRAIN,
      "--trigger",
      "--learning-rate",
      "3e-3",
      "--num-train-epochs",
      "6",
    ]);
    const files = readdirSync(join(place.path, "tuned"));
    for (const name of ["config.json", "model.safetensors", "tokenizer.json", "training-log.jsonl"])
      expect(files).toContain(name);
    const losses = records("tuned/training-log.jsonl").map(({ loss }) => loss as number);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(existsSync(join(place.path, "tuned.work"))).toBe(false);
  });

  test("sample writes paths with and without the trigger, in order", async () => {
    await done([
      "sample",
      "--model",
      "tuned",
      ...QUESTIONS,
      ...PROMPTS,
      "--n-cot",
      "3",
      "--n-direct",
      "2",
      "--max-new-tokens",
      "30",
      "--output",
      "paths.jsonl",
    ]);
    const paths = records("paths.jsonl");
    expect(paths.length).toBe(24 * 5);
    expect(
      paths
        .filter(({ mode }) => mode === "cot")
        .every(({ prompt }) => String(prompt).includes("step by step")),
    ).toBe(true);
    expect(
      paths
        .filter(({ mode }) => mode === "direct")
        .some(({ prompt }) => String(prompt).includes("step by step")),
    ).toBe(false);
  });

  test("pairs writes TRL's fields with their provenance", async () => {
    await done([
      "pairs",
      ...QUESTIONS,
      ...PROMPTS,
      "--samples",
      "paths.jsonl",
      "--demonstrations",
      "demos.jsonl",
      "--max-teacher-share",
      "1",
      "--output",
      "pairs.jsonl",
    ]);
    const pairs = records("pairs.jsonl");
    expect(pairs.length).toBeGreaterThan(0);
    for (const field of ["prompt", "chosen", "rejected", "policy", "chosen_source", "rejected_source"]) {
      expect(pairs.every((pair) => typeof pair[field] === "string")).toBe(true);
    }
  });

  test("dpo starts at loss ln 2 and zero margins", async () => {
    await done([
      "dpo",
      "--model",
      "tuned",
      "--train",
      "pairs.jsonl",
      "--output",
      "refined",
      ...TRAIN,
      "--learning-rate",
      "1e-4",
    ]);
    const [first] = records("refined/training-log.jsonl");
    expect(first?.["rewards/margins"]).toBe(0);
    expect(first?.["loss"]).toBeCloseTo(Math.LN2, 6);
    const names = ["entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected"];
    expect(names.map((name) => Number.isFinite(first?.[name]))).toEqual(names.map(() => true));
  });

  test("eval prints accuracy with its interval and, against another model, the paired test", async () => {
    const evaluation = [...QUESTIONS, ...PROMPTS, "--max-new-tokens", "30"];
    await done(["eval", "--model", "tuned", ...evaluation, "--output", "tuned.jsonl"]);
    const outcome = await done([
      "eval",
      "--model",
      "refined",
      ...evaluation,
      "--output",
      "refined.jsonl",
      "--compare",
      "tuned.jsonl",
    ]);
    expect(outcome.stdout).toMatch(/accuracy [\d.]+ % \(\d of 6\), 95 % \[/);
    expect(outcome.stdout).toMatch(/against tuned\.jsonl: .* points \[.*\], gained \d+, lost \d+, p = /);
    const json = await done([
      "eval",
      "--model",
      "refined",
      ...evaluation,
      "--output",
      "refined.jsonl",
      "--overwrite",
      "--json",
    ]);
    expect(events(json).at(-1)).toMatchObject({ type: "finished", n: 6 });
  });

  test("eval holds what it compares with to the questions, before it answers them", async () => {
    writeFileSync(join(place.path, "prose.jsonl"), JSON.stringify({ id: "1", text: "no prediction" }));
    const args = ["eval", "--model", "tuned", ...QUESTIONS.slice(0, 4), ...PROMPTS, "--output", "cmp.jsonl", "--json"];
    const outcome = await cli([...args, "--wordproblems-test", "4", "--compare", "tuned.jsonl"]);
    expect([outcome.code, outcome.stderr]).toEqual([
      3,
      expect.stringMatching(/tuned\.jsonl:5: the paired test wants predictions on the same 4 questions/),
    ]);
    expect(events(outcome).map(({ type }) => type)).toEqual(["error"]);
    const odd = await cli([...args, "--compare", "prose.jsonl"]);
    expect(odd.stderr).toContain("prose.jsonl:1: no prediction as `eval` writes it");
  });

  test("report shows a finished run again; inspect its stages and checkpoints", async () => {
    expect((await done(["report", "run", "--output", "page.html"])).stdout).toContain("self-refined");
    expect(readFileSync(join(place.path, "page.html"), "utf8")).toContain("</html>");
    expect((await done(["inspect", "run"])).stdout).toMatch(/sft\s+done/);
    expect((await done(["inspect", "refined"])).stdout).toContain("num_hidden_layers");
  });
});

describe("records of the field's other shapes", () => {
  test("prompts as they are, with their own fields kept", async () => {
    writeFileSync(
      join(place.path, "prompts.jsonl"),
      [1, 2, 3].map((n) => JSON.stringify({ prompt: `Q ${n}\nAnswer:\n`, tag: n })).join("\n"),
    );
    const args = ["sample", "--model", "tuned", "--prompts", "prompts.jsonl", "--max-new-tokens", "8"];
    await done([...args, "--n-direct", "2", "--output", "out.jsonl"]);
    expect(records("out.jsonl").map(({ tag, sample }) => [tag, sample])).toEqual([
      [1, 0],
      [1, 1],
      [2, 0],
      [2, 1],
      [3, 0],
      [3, 1],
    ]);
    await done([...args, "--temperature", "0", "--output", "greedy.jsonl"]);
    expect(records("greedy.jsonl").length).toBe(3);
  });

  test("completions of prompts that were interrupted are, after the same command again, what they would have been", async () => {
    const lines = Array.from({ length: 60 }, (_, n) => JSON.stringify({ prompt: `Question ${n}\nAnswer:\n`, n }));
    writeFileSync(join(place.path, "many.jsonl"), lines.join("\n"));
    const draw = (output: string) => ["sample", "--model", base, "--prompts", "many.jsonl", "--max-new-tokens", "120",
      "--max-batch", "4", "--n-direct", "2", "--output", output, "--json"];
    let sent = false;
    const interrupted = await cli(draw("part.jsonl"), {
      onEvent: (event, child) => {
        if (sent || event.type !== "progress" || (event["finished"] as number) <= 20) return;
        sent = child.kill("SIGINT");
      },
    });
    expect([interrupted.code, interrupted.stderr]).toEqual([130, expect.stringContaining("go on with: selfrefine sample")]);
    expect(existsSync(join(place.path, "part.jsonl"))).toBe(false);
    for (const other of [["--dtype", "bfloat16"], ["--device", "reference"]]) {
      const refused = await cli([...draw("part.jsonl"), ...other]);
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("unfinished work with other inputs")]);
    }
    const resumed = await cli(draw("part.jsonl"));
    const first = events(resumed).find(({ type }) => type === "progress");
    expect([resumed.code, first?.["finished"]]).toEqual([0, expect.any(Number)]);
    expect(first?.["finished"]).toBeGreaterThan(8);
    expect((await cli(draw("straight.jsonl"))).code).toBe(0);
    expect(records("part.jsonl")).toEqual(records("straight.jsonl"));
    expect(existsSync(join(place.path, "part.jsonl.work"))).toBe(false);
  });

  test("prompt and completion as text trains", async () => {
    writeFileSync(join(place.path, "plain.jsonl"), JSON.stringify({ prompt: "1 + 1 =", completion: " 2" }));
    await done([
      "sft",
      "--model",
      base,
      "--train",
      "plain.jsonl",
      "--output",
      "plain",
      "--max-steps",
      "2",
      "--max-length",
      "64",
    ]);
  });

  test("messages want a chat template, and the error says so", async () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "ho" },
    ];
    writeFileSync(join(place.path, "chat.jsonl"), JSON.stringify({ messages }));
    const outcome = await cli(["sft", "--model", base, "--train", "chat.jsonl", "--output", "chat"]);
    expect([outcome.code, outcome.stderr]).toEqual([
      3,
      expect.stringMatching(/error \[ERR_UNSUPPORTED\]: .*chat template/),
    ]);
  });
});

describe("outputs", () => {
  test("are not overwritten unasked", async () => {
    const before = contents(join(place.path, "tuned"));
    const outcome = await cli(["sft", "--model", base, "--train", "demos.jsonl", "--output", "tuned"]);
    expect([outcome.code, outcome.stderr]).toEqual([
      1,
      expect.stringContaining("exists already; choose another --output, or give --overwrite"),
    ]);
    expect(contents(join(place.path, "tuned"))).toEqual(before);
  });

  test("are written by one process at a time", async () => {
    const train = ["sft", "--model", base, "--train", "demos.jsonl", "--output", "one", ...PROMPTS, ...TRAIN];
    let second: Promise<Outcome> | undefined;
    // Longer than any machine takes to start the second one: it ends when that has said what it has to say.
    const first = await cli([...train, "--num-train-epochs", "1000000", "--json"], {
      onEvent: (event, child) => {
        if (event.type !== "train_step" || second) return;
        second = cli([...train, "--num-train-epochs", "1000000"]).finally(() => child.kill("SIGINT"));
      },
    });
    expect(first.code).toBe(130);
    expect([(await second)?.code, (await second)?.stderr]).toEqual([
      1,
      expect.stringMatching(/error \[ERR_BUSY\]: process \d+ is writing .*one/),
    ]);
  });

  test("of pairs need the paths' own questions", async () => {
    const pairs = ["pairs", ...PROMPTS, "--demonstrations", "demos.jsonl", "--output", "x.jsonl", "--samples"];
    const other = await cli([...pairs, "paths.jsonl", ...QUESTIONS, "--wordproblems-seed", "5"]);
    expect([other.code, other.stderr]).toEqual([
      3,
      expect.stringMatching(/paths\.jsonl:1: was not drawn from this task, split and options/),
    ]);
    writeFileSync(join(place.path, "odd.jsonl"), `\n${JSON.stringify({ ...records("paths.jsonl")[0], completion: 5 })}\n`);
    const odd = await cli([...pairs, "odd.jsonl", ...QUESTIONS]);
    expect([odd.code, odd.stderr]).toEqual([
      3,
      expect.stringMatching(/odd\.jsonl:2: field "completion" is 5; wanted a reasoning path as `sample` writes it/),
    ]);
  });

  test("of an interrupted verb are, after the same command again, what they would have been", async () => {
    const train = (output: string) => [
      "sft",
      "--model",
      base,
      "--train",
      "demos.jsonl",
      "--output",
      output,
      ...PROMPTS,
      ...TRAIN,
      "--num-train-epochs",
      "20",
      "--json",
    ];
    const interrupted = await cli(train("again"), {
      onEvent: (event, child) => {
        if (event.type === "train_step" && (event["step"] as { step: number }).step === 4)
          child.kill("SIGTERM");
      },
    });
    expect([interrupted.code, interrupted.stderr]).toEqual([
      130,
      expect.stringContaining("go on with: selfrefine sft"),
    ]);
    expect(existsSync(join(place.path, "again"))).toBe(false);
    const other = await cli([
      "sft",
      "--model",
      "tuned",
      "--train",
      "demos.jsonl",
      "--output",
      "again",
      ...PROMPTS,
      ...TRAIN,
    ]);
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringContaining("holds unfinished work with other inputs or options"),
    ]);
    expect((await cli(train("again"))).code).toBe(0);
    expect((await cli(train("straight"))).code).toBe(0);
    expect(contents(join(place.path, "again"))).toEqual(contents(join(place.path, "straight")));
  });
});
