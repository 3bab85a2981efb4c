// The command line itself: help, mistakes, exit codes, streams.
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, jest, test } from "@jest/globals";
import { VERBS } from "../../src/cli/verbs";
import { CLI, events, selfrefine, temporary } from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

describe("help", () => {
  test("names every verb with what it does, examples and exit codes", async () => {
    const { code, stdout } = await selfrefine(["--help"]);
    expect(code).toBe(0);
    for (const { name } of VERBS) expect(stdout).toContain(`selfrefine ${name}`);
    expect(stdout).toContain("Examples:");
    expect(stdout.replace(/\s+/g, " ")).toContain(
      "Exit codes: 0 done, 1 failure, 2 wrong usage or configuration, 3 bad data or checkpoint, 130 interrupted, 141 the reader of its output ended",
    );
    for (const verb of [
      "run",
      "quickstart",
      "demos",
      "sft",
      "sample",
      "pairs",
      "dpo",
      "eval",
      "report",
      "plan",
      "inspect",
    ]) {
      expect(VERBS.map(({ name }) => name)).toContain(verb);
    }
  });

  test.each(VERBS.map(({ name }) => [name]))(
    "%s --help has one to three examples and every flag described",
    async (name) => {
      const { code, stdout, stderr } = await selfrefine([name, "--help"]);
      expect([code, stderr]).toEqual([0, ""]);
      const verb = VERBS.find((one) => one.name === name)!;
      expect(verb.examples.length).toBeGreaterThanOrEqual(1);
      expect(verb.examples.length).toBeLessThanOrEqual(3);
      for (const [flag, { describe: help }] of Object.entries(verb.flags)) {
        expect([flag, Boolean(help)]).toEqual([flag, true]);
        expect(stdout).toContain(`--${flag}`);
      }
    },
  );

  test("every flag of every example exists", () => {
    for (const { name, flags, examples } of VERBS) {
      for (const [command] of examples) {
        const used = [...command.matchAll(/--([a-z-]+)/g)].map((match) => match[1]!);
        expect([name, used.filter((flag) => !(flag in flags))]).toEqual([name, []]);
      }
    }
  });

  test("output that cannot be written is an error in one line", () => {
    const child = spawnSync("/bin/sh", ["-c", `"${process.execPath}" "${CLI}" inspect tasks > /dev/full`], { encoding: "utf8" });
    expect([child.status, child.stderr]).toEqual([
      1,
      "error [ERR_IO]: cannot write the standard output: the disk is full: free some space or choose a directory on another disk\n",
    ]);
  });

  test("--version is the package's", async () => {
    expect((await selfrefine(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

const PLAN = ["plan", "--model", "m"];
const SFT = ["sft", "--model", "m", "--train", "x.jsonl", "--output", "y"];

describe("mistakes are told with the nearest right thing, in one line, with their exit code", () => {
  test.each([
    [["rn"], 2, 'error [ERR_CONFIG]: no verb "rn"; did you mean run? (see selfrefine --help)'],
    [[], 2, "error [ERR_CONFIG]: a verb is wanted (see selfrefine --help)"],
    [["run"], 2, "error [ERR_CONFIG]: file is missing: run file, YAML or JSON (see selfrefine run --help)"],
    [["fine-tune"], 2, 'no verb "fine-tune"; verbs are quickstart, run, demos, sft'],
    [
      ["run", "x.yaml", "--sed", "1"],
      2,
      "error [ERR_CONFIG]: no option --sed of run; did you mean --seed? (see selfrefine run --help)",
    ],
    [["run", "x.yaml", "y.yaml"], 2, 'error [ERR_CONFIG]: unexpected argument "y.yaml"'],
    [
      ["run", "no-such.yaml"],
      1,
      "error [ERR_IO]: cannot read no-such.yaml: no such file or directory: check the path",
    ],
    [["quickstart", "--seed", "x"], 2, 'error [ERR_CONFIG]: --seed is "x", wanted an integer from 0'],
    [["demos", "--task", "wordproblems", "--output", "d", "--seed", "x"], 2, 'error [ERR_CONFIG]: --seed is "x", wanted a number'],
    [
      ["demos", "--task", "svamp", "--data", "d", "--kind", "file", "--files", "f", "--output", "d", "--seed", "1"],
      2,
      "error [ERR_CONFIG]: --seed has no effect unless --kind is procedural or openai; leave it out",
    ],
    [
      ["quickstart", "--set", "controls=[]", "--set", "wordproblems.train=0"],
      3,
      "error [ERR_DATA]: there are no train questions: wordproblems train has none",
    ],
    [["quickstart", "--seeds", "1,1"], 2, 'error [ERR_CONFIG]: --seeds is "1,1", wanted different integers'],
    [["quickstart", "--set", "dpo.betta=1"], 2, "error [ERR_CONFIG]: --set: dpo.betta: no such option; did you mean dpo.beta?"],
    [["quickstart", "--threads", "9999"], 2, "error [ERR_CONFIG]: --threads: model.threads: Too big"],
    [["quickstart", "--seed", "1", "--set", "seed=2"], 2, "--seed and --set seed exclude each other"],
    [["quickstart", "--set", "beta"], 2, 'error [ERR_CONFIG]: --set "beta": wanted key=value'],
    [["sft", "--train", "x", "--output", "y"], 2, "error [ERR_CONFIG]: --model is missing: Hugging Face directory"],
    [["sft", "--mdel", "m"], 2, "error [ERR_CONFIG]: no option --mdel of sft; did you mean --model?; --model is missing"],
    [["sft", "--model"], 2, "error [ERR_CONFIG]: --model wants a value (see selfrefine sft --help)"],
    [[...SFT, "--beta", "1"], 2, "no option --beta of sft; it is one of dpo (see"],
    [[...SFT, "--per_device_train_batch_size", "1"], 2, "of sft; here --batch-size is all rows of an optimizer step"],
    [[...PLAN, "--lora-r", "x"], 2, 'error [ERR_CONFIG]: --lora-r is "x", wanted a number'],
    [[...PLAN, "--lora-r", "0"], 2, "error [ERR_CONFIG]: --lora-r: Too small"],
    [[...PLAN, "--optim-states", "bfloat16"], 2, "has no effect with --dtype float32, whose weights are their own masters; " +
      "choose --dtype bfloat16 too, or leave it out"],
    [
      ["sft", "--model", "m", "--train", "x.jsonl", "--output", "y", "--learning-rate", "fast"],
      2,
      'error [ERR_CONFIG]: --learning-rate is "fast", wanted a number',
    ],
    [
      ["sft", "--model", "m", "--train", "x.jsonl", "--output", "y", "--learning-rate", "-1"],
      2,
      "error [ERR_CONFIG]: --learning-rate: Too small",
    ],
    [
      [
        "dpo",
        "--model",
        "m",
        "--train",
        "x.jsonl",
        "--output",
        "y",
        "--loss-type",
        "ipo",
        "--label-smoothing",
        "0.1",
      ],
      2,
      "--label-smoothing has no effect with --loss-type hinge or ipo",
    ],
    [["dpo", "--model", "m", "--train", "x.jsonl", "--output", "y", "--loss-type", "sigmoyd"], 2,
      'error [ERR_CONFIG]: --loss-type is "sigmoyd", wanted one of sigmoid, robust, hinge, ipo; did you mean sigmoid? (see'],
    [
      ["eval", "--model", "m", "--task", "svamp", "--output", "e.jsonl"],
      2,
      "--data is missing: svamp reads its questions from a folder",
    ],
    [
      ["eval", "--model", "m", "--task", "wordproblems", "--data", "d", "--output", "e.jsonl"],
      2,
      "--data has no effect",
    ],
    [
      ["eval", "--model", "m", "--task", "wordproblems", "--output", "e.jsonl", "--seed", "1"],
      2,
      "--seed has no effect with --temperature 0",
    ],
    [
      ["sample", "--model", "m", "--task", "wordproblems", "--output", "s.jsonl", "--temperature", "0"],
      2,
      "--temperature 0 is greedy: more than one completion of a prompt would be the same; set --n-cot and --n-direct to",
    ],
    [
      ["sample", "--model", "m", "--prompts", "p.jsonl", "--output", "s.jsonl", "--template", "plain"],
      2,
      "--template has no effect with --prompts",
    ],
    [
      ["pairs", "--task", "wordproblems", "--samples", "s", "--demonstrations", "d", "--output", "p", "--model", "m"],
      2,
      "--model has no effect with the template alpaca",
    ],
    [["plan", "--model", "m", "--mode", "sample", "--max-length", "9"], 2, "--max-length has no effect with --mode sample"],
    [["demos", "--task", "wordproblem", "--output", "d"], 2, '--task is "wordproblem", wanted one of'],
    [
      ["demos", "--task", "wordproblems", "--wordproblems-min-steps", "4", "--output", "d"],
      2,
      "--wordproblems-min-steps is 4, wanted at most --wordproblems-max-steps, 3",
    ],
    [["plan", "--model", "no-such"], 1, "error [ERR_IO]: no-such is no model: there is no such directory; check the path"],
    [["plan", "--model", "Qwen/Qwen3-0.6B"], 1, "get it first (hf download Qwen/Qwen3-0.6B --local-dir DIR) and give DIR"],
    [["sample", "--model", "m", "--output", "s", "--optim-states", "bfloat16"], 2, "no option --optim-states of sample; it is one of sft, dpo, plan"],
    [["inspect", "no-such"], 1, "error [ERR_IO]: no-such: no such file or directory"],
    [["report", "."], 1, "no finished run is here"],
  ] as [string[], number, string][])("%j", async (args, code, text) => {
    const outcome = await selfrefine(args, { cwd: place.path });
    expect(outcome.stderr).toContain(text);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).not.toContain("    at ");
    expect(outcome.stdout).toBe("");
  });

  test("--json gives the error as an object, --debug its stack", async () => {
    const outcome = await selfrefine(["run", "no-such.yaml", "--json", "--debug"], { cwd: place.path });
    expect(events(outcome)).toEqual([
      { type: "error", code: "ERR_IO", message: expect.stringContaining("no-such.yaml") },
    ]);
    expect(outcome.stderr).toContain("    at ");
  });
});

test("a broken line of a data file is named, with exit code 3", async () => {
  const path = join(place.path, "bad.jsonl");
  const good = JSON.stringify({ prompt: "a", completion: "b" });
  writeFileSync(path, `${good}\n\n${good}\n{"prompt": "c", \n`);
  const broken = await selfrefine([
    "sft",
    "--model",
    "m",
    "--train",
    path,
    "--output",
    join(place.path, "o"),
  ]);
  expect([broken.code, broken.stderr]).toEqual([
    3,
    expect.stringMatching(/bad\.jsonl:4: not valid JSON: .*; a line is one whole JSON value: mend the line, or leave it out$/m),
  ]);
  writeFileSync(path, `${good}\n`);
  const idle = await selfrefine(["sft", "--model", "m", "--train", path, "--output", join(place.path, "o"), "--trigger"]);
  expect([idle.code, idle.stderr]).toEqual([2, expect.stringContaining("--trigger has no effect: no record has an")]);
  writeFileSync(path, `${good}\n${JSON.stringify({ prompt: 3, completion: "x" })}\n`);
  const wrong = await selfrefine(["sft", "--model", "m", "--train", path, "--output", join(place.path, "o")]);
  expect([wrong.code, wrong.stderr]).toEqual([
    3,
    expect.stringContaining(`${path}:2: field "prompt": a string or a list of messages is wanted, got 3`),
  ]);
  writeFileSync(path, "");
  const empty = await selfrefine(["dpo", "--model", "m", "--train", path, "--output", join(place.path, "o")]);
  expect([empty.code, empty.stderr]).toEqual([3, expect.stringContaining(`${path}: no records`)]);
});

test("a pipe closed by its reader ends the command quietly, with the code of SIGPIPE", async () => {
  const child = spawn(process.execPath, [CLI, "inspect", "tasks"]);
  child.stdout.destroy(); // before it can have written anything
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  const code = await new Promise((done) => child.on("close", done));
  expect([code, stderr]).toEqual([141, ""]);
});

test("inspect tells devices and tasks, also as JSON", async () => {
  const { stdout } = await selfrefine(["inspect", "devices", "--json"]);
  const { type, devices: found } = JSON.parse(stdout) as { type: string; devices: { name: string }[] };
  expect(type).toBe("finished");
  expect(found.map(({ name }) => name)).toContain("reference");
  expect((await selfrefine(["inspect", "tasks"])).stdout).toMatch(
    /multiarith\s+math\s+train, test, all\s+test\s+folder/,
  );
});

test("inspect shows a llama2.c file as the config.json it amounts to, with its parameters", async () => {
  const path = join(place.path, "tiny.bin");
  const file = Buffer.alloc(4 * (7 + 632)); // sizes, 600 parameters, and 32 rotations that are not read
  [8, 8, 1, 2, 2, 16, 8].forEach((size, index) => file.writeInt32LE(size, 4 * index));
  writeFileSync(path, file);
  const { stdout } = await selfrefine(["inspect", path]);
  expect(stdout).toMatch(/tiny\.bin: 600 parameters, 11 tensors in 1 file\n {2}model_type +"llama"\n {2}hidden_size +8\n/);
});

test("plan tells what a training takes before it begins, as a table and as JSON", async () => {
  const model = join(__dirname, "..", "fixtures", "llama-tied");
  const args = ["plan", "--model", model, "--device", "cuda", "--dtype", "bfloat16", "--micro-batch-tokens", "1000"];
  const { code, stdout } = await selfrefine([...args, "--memory", "1GiB"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/sft on cuda +bfloat16, float32 states/);
  expect(stdout).toMatch(/activations +\d+(\.\d+)? [KM]iB +\d+\.\d %/);
  expect(stdout).toMatch(/in all .*\nbeside it, on the host .*\n/);
  expect(stdout).toMatch(/fits 1\.00 GiB with --micro-batch-tokens 1,000; the largest .* that fits is at least 262,144\n$/);
  const [event] = events(await selfrefine([...args, "--optim-states", "bfloat16", "--memory", "10KB", "--json"]));
  expect(event).toMatchObject({ device: "cuda", optim_states: "bfloat16", fits: false, largest: 0, value: 1000 });
  const sampling = ["plan", "--model", model, "--mode", "sample", "--device", "cpu", "--memory", "1GiB"];
  expect((await selfrefine(sampling)).stdout).toMatch(/with --max-batch 64, --prompt-length 512 and --max-new-tokens 256; /);
});
