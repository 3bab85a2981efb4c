// Adapters from the command line: a whole run that trains them in both phases, and the verbs one after the other.
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { type Outcome, selfrefine, temporary, TINY_RUN, writeRunFile } from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

const cli = (args: string[]): Promise<Outcome> => selfrefine(args, { cwd: place.path });
const done = async (args: string[]): Promise<Outcome> => {
  const outcome = await cli(args);
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  return outcome;
};
const stage = (name: string): string => {
  const stages = join(place.path, "run", "stages");
  return join(stages, readdirSync(stages).find((one) => one.startsWith(`${name}-`))!, "model");
};
const adapterOf = (directory: string) =>
  JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8")) as Record<string, unknown>;

const ON_HUB = "an-org/a-model";
/** A copy of an adapter that names its base as one made elsewhere does. @returns its directory */
function fromElsewhere(adapter: string, name: string): string {
  const copy = join(place.path, name);
  cpSync(adapter, copy, { recursive: true });
  rmSync(join(copy, "base_model.json"));
  writeFileSync(join(copy, "adapter_config.json"),
    JSON.stringify({ ...adapterOf(copy), base_model_name_or_path: ON_HUB }));
  return copy;
}

beforeAll(async () => {
  const file = writeRunFile(place.path, { lora: { r: 4, target_modules: ["q_proj", "v_proj", "down_proj"] } });
  const run = await cli(["run", file, "--output", "run", "--quiet"]);
  expect([run.code, run.stderr]).toEqual([0, ""]);
});

describe("a run with adapters", () => {
  test("trains one in phase 1 and goes on with it in phase 2 and in the control", () => {
    expect(existsSync(join(stage("base"), "model.safetensors"))).toBe(true);
    for (const name of ["sft", "dpo", "rejection-sampling"]) {
      expect(existsSync(join(stage(name), "model.safetensors"))).toBe(false);
      expect(adapterOf(stage(name)))
        .toMatchObject({ r: 4, lora_alpha: 16, target_modules: ["q_proj", "v_proj", "down_proj"] });
      expect(adapterOf(stage(name))["base_model_name_or_path"]).toBe(stage("base"));
    }
    expect(readFileSync(join(stage("dpo"), "adapter_model.safetensors"))
      .equals(readFileSync(join(stage("sft"), "adapter_model.safetensors")))).toBe(false);
    expect(existsSync(join(place.path, "run", "summary.json"))).toBe(true);
  });

  test("begins with an adapter too, which phase 1 trains on, on the base model that is given", async () => {
    const student = { path: fromElsewhere(stage("sft"), "from-elsewhere"), base_model: stage("base") };
    const file = writeRunFile(place.path, { student, dpo: { reference: "base" }, controls: ["dpo_without_sft"] });
    await done(["run", file, "--output", "further", "--quiet"]);
    const stages = join(place.path, "further", "stages");
    const names = readdirSync(stages);
    const tuned = join(stages, names.find((one) => one.startsWith("sft-"))!, "model");
    expect(adapterOf(tuned)).toMatchObject({ r: 4, lora_alpha: 16, base_model_name_or_path: ON_HUB });
    expect(readFileSync(join(tuned, "base_model.json"), "utf8")).toContain(relative(tuned, stage("base")));
    expect(names.some((one) => one.startsWith("dpo-without-sft-"))).toBe(true);
    expect(names.filter((one) => one.startsWith("base-"))).toEqual([]);
  });

  test("options of the run that would do nothing are named", async () => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ dpo: { reference: "base" } }, /dpo\.reference has no effect as base without lora/],
      [{ lora: { lora_alpha: 8 } }, /lora\.r/],
      [{ lora: { r: 4 }, student: { path: stage("sft") } }, /lora has no effect: student\.path .* is an adapter/],
      [{ student: { path: stage("base"), base_model: stage("base") } }, /student\.base_model has no effect: .* is no adapter/],
      [{ student: { ...TINY_RUN.student, base_model: "base" } }, /student\.base_model has no effect without student\.path/],
    ];
    for (const [change, message] of cases) {
      const outcome = await cli(["run", writeRunFile(place.path, change), "--output", "idle", "--quiet"]);
      expect([outcome.code, outcome.stderr]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});

describe("the verbs", () => {
  const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: `${i} and 1 make`, completion: ` ${i + 1}.` }));
  const pairs = rows.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: " none" }));
  const TRAIN = ["--batch-size", "4", "--learning-rate", "1e-3"];

  beforeAll(() => {
    writeFileSync(join(place.path, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    writeFileSync(join(place.path, "pairs.jsonl"), pairs.map((row) => `${JSON.stringify(row)}\n`).join(""));
  });

  test("sft, dpo, sample and merge", async () => {
    const base = stage("base");
    const targets = ["q_proj", "o_proj"].flatMap((name) => ["--lora-target-modules", name]);
    const lora = ["--lora-r", "4", "--lora-alpha", "8", ...targets];
    const sft = await done(["sft", "--model", base, "--train", "rows.jsonl", "--output", "tuned", ...TRAIN, ...lora]);
    expect(sft.stderr).toMatch(/of adapters \(r 4\)/);
    expect(adapterOf(join(place.path, "tuned")))
      .toMatchObject({ r: 4, lora_alpha: 8, target_modules: ["q_proj", "o_proj"] });
    await done(["dpo", "--model", "tuned", "--train", "pairs.jsonl", "--output", "refined", ...TRAIN]);
    expect(adapterOf(join(place.path, "refined"))).toMatchObject({ r: 4 });
    await done(["merge", "--model", "refined", "--output", "whole"]);
    expect(existsSync(join(place.path, "whole", "model.safetensors"))).toBe(true);
    const draw = async (model: string) => {
      const output = `${model}.jsonl`;
      await done(["sample", "--model", model, "--task", "wordproblems", "--wordproblems-train", "4", "--split", "train",
        "--template", "plain", "--max-new-tokens", "8", "--temperature", "0", "--n-cot", "1", "--n-direct", "0",
        "--output", output]);
      const lines = readFileSync(join(place.path, output), "utf8").trimEnd().split("\n");
      return lines.map((line) => JSON.parse(line) as { prompt: string; completion: string; logp: number });
    };
    const drawn = await draw("refined");
    expect(drawn.length).toBe(4);
    const close = (logp: number): number => expect.closeTo(logp, 4) as unknown as number; // merging rounds the weights
    expect(await draw("whole")).toEqual(drawn.map((path) => ({ ...path, logp: close(path.logp) })));
    expect((await done(["inspect", "refined"])).stdout)
      .toMatch(/an adapter\n +r +4\n +lora_alpha +8\n[^]*target_modules +\["q_proj","o_proj"\]/);
    await done(["plan", "--model", "refined", "--mode", "sample", "--device", "cpu", "--prompt-length", "64",
      "--max-new-tokens", "8"]);
  });

  test("eval and sft of an adapter whose base is elsewhere", async () => {
    const base = stage("base");
    const adapter = fromElsewhere(stage("sft"), "hub-adapter");
    const there = ["--base-model", base];
    await done(["merge", "--model", adapter, ...there, "--output", "hub-whole"]);
    const examined = async (name: string, model: string[]) => {
      const output = join(place.path, `${name}-predictions.jsonl`);
      await done(["eval", "--model", ...model, "--task", "wordproblems", "--wordproblems-test", "6", "--template", "plain",
        "--max-new-tokens", "12", "--output", output]);
      return readFileSync(output, "utf8").trimEnd().split("\n");
    };
    const predicted = await examined("adapter", [adapter, ...there]);
    expect(predicted.length).toBe(6);
    expect(predicted).toEqual(await examined("whole", ["hub-whole"]));
    expect(predicted).not.toEqual(await examined("base", [base]));
    await done(["sft", "--model", adapter, ...there, "--train", "rows.jsonl", "--output", "hub-further", ...TRAIN]);
    expect(adapterOf(join(place.path, "hub-further"))).toMatchObject({ r: 4, base_model_name_or_path: ON_HUB });
    expect((await examined("further", ["hub-further"])).length).toBe(6); // where its base is was kept
    for (const args of [["sft", "--train", "rows.jsonl"], ["eval", "--task", "wordproblems"]]) {
      const outcome = await cli([...args, "--model", adapter, "--output", "x"]);
      expect([outcome.code, outcome.stderr]).toEqual([1, expect.stringMatching(/"an-org\/a-model", which is not there/)]);
      expect(existsSync(join(place.path, "x.work"))).toBe(false);
    }
  });

  test("what would do nothing, or harm, is refused", async () => {
    const base = stage("base");
    const toX = ["--train", "rows.jsonl", "--output", "x"];
    const onBase = ["--model", base, ...toX];
    const cases: [string[], RegExp][] = [
      [["sft", ...onBase, "--lora-alpha", "8"], /--lora-alpha has no effect without --lora-r/],
      [["sft", ...onBase, "--use-rslora"], /--use-rslora has no effect without --lora-r/],
      [["sft", "--model", "tuned", ...toX, "--lora-r", "4"], /--lora-r has no effect: tuned is an adapter/],
      [["sft", ...onBase, "--base-model", base], /--base-model has no effect/],
      [["merge", "--model", base, "--output", "x"], /is no adapter: there is nothing to merge/],
      [["dpo", "--model", base, "--train", "pairs.jsonl", "--output", "x", "--reference", "base"],
        /--reference base has no effect/],
      [["sft", "--model", "whole", "--train", "rows.jsonl", "--output", "whole", "--overwrite", "--lora-r", "4"],
        /is or holds the base model that the adapter needs/],
    ];
    for (const [args, message] of cases) {
      const outcome = await cli(args);
      expect([outcome.code, outcome.stderr]).toEqual([2, expect.stringMatching(message)]);
    }
    expect(existsSync(join(place.path, "whole", "model.safetensors"))).toBe(true);
  });

  test("plan counts them", async () => {
    const plan = async (more: string[]) =>
      (await done(["plan", "--model", stage("base"), "--dtype", "bfloat16", "--device", "cpu", ...more])).stdout;
    expect(await plan(["--lora-r", "4"])).toMatch(/adapters .*\n[^]*adapter masters/);
    expect(await plan(["--lora-r", "4"])).not.toMatch(/^masters/m);
    expect(await plan([])).toMatch(/masters/);
  });
});
