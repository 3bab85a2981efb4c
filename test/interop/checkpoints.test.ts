// Checkpoints and transformers, both ways: what it writes computes the same here, what we write the same there, and
// what we do not compute is refused by its name.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Model, sample } from "../../src";
import { modelConfigJson, parseModelConfig, type HuggingFaceConfig } from "../../src/checkpoint/model-config";
import { loadTokenizer } from "../../src/text/convert";
import { sharedPath, testWith } from "../data/shared";
import { float32Limit, logSoftmax, relativeError } from "../model/support/closeness";
import { readGolden, variants as fixtures } from "../model/support/fixtures";
import { TestTrainer } from "../model/support/trainer";
import { describeWith } from "./python";

interface Score {
  class: string;
  dtype: string;
  misfits: string[];
  logps: number[][];
}

const names = [
  "llama-tied", "llama-untied-llama3-head-dim", "llama-linear", "mistral-window", "mistral-full", "qwen2",
  "qwen2-window", "qwen3",
] as const;
const refusals = [
  "rope-yarn", "rope-dynamic", "attention-bias", "mlp-bias", "activation", "half-of-the-layers-slide", "experts",
  "softcapping", "multipliers", "layers-without-positions",
] as const;
const sequences = [[0, 17, 203, 45, 9, 260, 31, 77, 140, 5, 288, 64], [0, 299, 8, 8, 120]];
const prompt = [0, 41, 7, 190, 66];
const GENERATED = 24;
/** The start of doc/stories260K.md in karpathy/llama2.c. */
const PUBLISHED = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, "
  + "she saw a big, red ball.";

const root = mkdtempSync(join(tmpdir(), "selfrefine-interop-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
const load = (directory: string) => Model.load(directory, { device: "cpu", threads: 1 });

/** Log-probs of every next token of every sequence: one pass for each token of the vocabulary as the target. */
async function scoreHere(model: Model, rows: readonly number[][]): Promise<number[][]> {
  const { vocabSize } = model.config;
  const trainer = new TestTrainer(model.native);
  const logps = rows.map((ids) => new Array<number>(ids.length * vocabSize));
  for (let target = 0; target < vocabSize; target++) {
    const asked = rows.map((tokens) => ({ tokens, targets: tokens.map(() => target) }));
    await trainer.native.logps(trainer.fillSequences(asked));
    let row = 0;
    rows.forEach((ids, s) => ids.forEach((_, i) => {
      logps[s]![i * vocabSize + target] = trainer.logps[row++]!;
    }));
  }
  trainer.dispose();
  return logps;
}

async function generateHere(model: Model, count = GENERATED): Promise<number[]> {
  for await (const event of sample(model, [{ prompt }], { temperature: 0, max_new_tokens: count })) {
    if (event.type === "sample") return [...event.tokens];
  }
  throw new Error("no sample");
}

function expectEqual(got: readonly number[][], wanted: readonly number[][]): void {
  wanted.forEach((row, s) => expect(relativeError(got[s]!, row)).toBeLessThan(float32Limit));
}

describeWith("transformers", ["torch", "transformers", "tokenizers"], (python) => {
  const theirs = (name: string) => join(root, "theirs", name);
  let made: { variants: string[]; refused: Record<string, string> };
  beforeAll(async () => {
    made = await python.call("write", { directory: join(root, "theirs") });
  });

  test("every variant of hf.py is tested", () => {
    expect(made.variants).toEqual([...names]);
    expect(Object.keys(made.refused)).toEqual([...refusals]);
  });

  test.each(names)("%s: one, in shards, and back: log-probs and greedy tokens", async (name) => {
    const wanted = await python.call<Score>("score", { directory: theirs(name), sequences });
    const greedy = await python.call<number[]>("generate", { directory: theirs(name), prompt, count: GENERATED });
    const model = await load(theirs(name));
    expectEqual(await scoreHere(model, sequences), wanted.logps);
    expect(await generateHere(model)).toEqual(greedy);

    const shards = await load(theirs(`${name}-sharded`));
    expect(readdirSync(theirs(`${name}-sharded`)).filter((file) => /-of-/.test(file)).length).toBeGreaterThan(2);
    expect(await shards.fingerprint()).toBe(await model.fingerprint());
    shards.dispose();

    const ours = join(root, "ours", name);
    mkdirSync(join(root, "ours"), { recursive: true });
    await model.save(ours);
    model.dispose();
    const back = await python.call<Score>("score", { directory: ours, sequences });
    expect(back).toEqual({ class: wanted.class, dtype: "float32", misfits: [], logps: wanted.logps });
    expect(await python.call("generate", { directory: ours, prompt, count: GENERATED })).toEqual(greedy);
  });

  test.each(names)("%s in bfloat16 files: read exactly, written as they were", async (name) => {
    const directory = theirs(`${name}-bfloat16`);
    const wanted = await python.call<Score>("score", { directory, sequences });
    const wide = await load(directory);
    expectEqual(await scoreHere(wide, sequences), wanted.logps);
    const ours = join(root, "ours", `${name}-bfloat16`);
    mkdirSync(join(root, "ours"), { recursive: true });
    await wide.save(ours, { dtype: "bfloat16" });
    wide.dispose();
    expect(await python.call("score", { directory: ours, sequences })).toEqual({ ...wanted, dtype: "bfloat16", misfits: [] });
  });

  test("a config of transformers 4 for the same weights is the same model, and both are what it computes", async () => {
    for (const name of fixtures) {
      const folder = resolve(__dirname, "../fixtures", name);
      const golden = readGolden(name);
      const tokens = golden.sequences.map((sequence) => sequence.tokens);
      const [old, recent] = ["config.json", "config.transformers5.json"].map((file) => (
        readJson(join(folder, file))));
      expect(parseModelConfig(recent!)).toEqual(parseModelConfig(old!));
      for (const [spelling, config] of Object.entries({ old, recent })) {
        const directory = join(root, "fixtures", `${name}-${spelling}`);
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, "config.json"), JSON.stringify(config));
        writeFileSync(join(directory, "model.safetensors"), readFileSync(join(folder, "model.safetensors")));
        const { logps, misfits } = await python.call<Score>("score", { directory, sequences: tokens });
        expect([name, spelling, misfits]).toEqual([name, spelling, []]);
        const logits = golden.arrays.get("logits")!;
        expect(relativeError(logps.flat(), logSoftmax(logits, Number(config!.vocab_size)))).toBeLessThan(float32Limit);
      }
    }
  });

  test("our own shape of each class, with weights of ours, loads there", async () => {
    for (const name of names) {
      const tokenizer = await loadTokenizer(theirs(name));
      const shape = parseModelConfig(readJson(join(theirs(name), "config.json")));
      const config = modelConfigJson(shape, "float32") as unknown as HuggingFaceConfig;
      const model = await Model.create(config, tokenizer, { device: "cpu", threads: 1, seed: 3, initializer_range: 0.3 });
      const directory = join(root, "fresh", name);
      mkdirSync(join(root, "fresh"), { recursive: true });
      await model.save(directory);
      const { misfits, logps } = await python.call<Score>("score", { directory, sequences });
      expect([name, misfits]).toEqual([name, []]);
      expectEqual(await scoreHere(model, sequences), logps);
      model.dispose();
    }
  });

  test("several stop tokens of generation_config.json end generation here and there at the same token", async () => {
    const directory = join(root, "stops");
    const model = await load(theirs("qwen3"));
    const tokens = await generateHere(model);
    await model.save(directory);
    model.dispose();
    const generation = { eos_token_id: [299, tokens[6]], bos_token_id: 0 };
    writeFileSync(join(directory, "generation_config.json"), JSON.stringify(generation));
    const stopped = await python.call<number[]>("generate", { directory, prompt, count: GENERATED });
    expect(stopped.at(-1)).toBe(tokens[6]);
    const again = await load(directory);
    expect(again.config.eosTokenIds).toEqual([299, tokens[6]]);
    expect(await generateHere(again)).toEqual(stopped);
    again.dispose();
  });

  test("what we wrote, written again in shards there, is read here bit for bit", async () => {
    const model = await load(theirs("llama-tied"));
    await model.save(join(root, "whole"));
    await python.call("reshard", { source: join(root, "whole"), target: join(root, "parts"), size: "30KB" });
    const parts = await load(join(root, "parts"));
    expect(await parts.fingerprint()).toBe(await model.fingerprint());
    for (const one of [model, parts]) one.dispose();
  });

  test.each(refusals)("%s is refused by name", (name) => {
    const path = join(theirs("refused"), name, "config.json");
    const json = readJson(path);
    const word = made.refused[name]!;
    expect(() => parseModelConfig(json, path)).toThrow(word);
    expect(() => parseModelConfig(json, path)).toThrow(expect.objectContaining({ code: "ERR_UNSUPPORTED" }));
  });

  const weights = sharedPath("stories260K", "stories260K.bin");
  const vocabulary = sharedPath("stories260K", "tok512.bin");
  testWith("stories260K, converted, tells its published story there", [weights, vocabulary], async () => {
    const tokenizer = await loadTokenizer(vocabulary);
    const model = await Model.load(weights, { tokenizer, device: "cpu", threads: 1 });
    const directory = join(root, "stories260K");
    await model.save(directory);
    model.dispose();
    const tokens = await python.call<number[]>("generate", { directory, prompt: [1], count: 100 });
    const { text } = await python.call<{ text: string }>("decode", { directory, tokens });
    expect(text.trimStart().startsWith(PUBLISHED)).toBe(true);
  });
});
