// Model.create from the object of a config.json: the model that such a file on disk is, and what is refused.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { Model, Tokenizer, trainBpe, type HuggingFaceConfig } from "../../src";
import { parseModelConfig } from "../../src/checkpoint/model-config";

const root = mkdtempSync(join(tmpdir(), "selfrefine-create-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const made = trainBpe(["one and two make three"], { vocabSize: 270 });
const tokenizer = Tokenizer.fromJson(made.tokenizer, made.tokenizerConfig);
const device = { device: "cpu", threads: 1 } as const;
const minimal = {
  model_type: "llama", vocab_size: 512, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
  num_attention_heads: 4,
};

const readJson = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8")) as HuggingFaceConfig;

test.each([
  "llama-tied/config.json", "llama-tied/config.transformers5.json", "llama-untied-llama3rope/config.json",
  "mistral-window/config.json", "qwen2/config.json", "qwen3/config.json",
])("%s in memory makes the model that it is on disk", async (name) => {
  const given = { ...readJson(__dirname, "../fixtures", name), vocab_size: 512, mine: "kept" };
  using model = await Model.create(given, tokenizer, { ...device, seed: 3 });
  expect(model.config).toEqual(parseModelConfig(given));
  const directory = join(root, name.replaceAll("/", "-"));
  await model.save(directory);
  using loaded = await Model.load(directory, device);
  expect(loaded.config).toEqual(model.config);
  const written = readJson(directory, "config.json");
  expect(written).toMatchObject({ architectures: given.architectures, mine: "kept" });
  using again = await Model.create(written, tokenizer, { ...device, seed: 3 });
  using other = await Model.create(written, tokenizer, { ...device, seed: 4 });
  const [wanted, ...got] = await Promise.all([model, loaded, again, other].map((each) => each.fingerprint()));
  expect(got).toEqual([wanted, wanted, expect.not.stringMatching(`^${wanted}$`)]);
});

test("six keys are enough: the rest is the class's, BOS and EOS the tokenizer's unless the config says", async () => {
  using model = await Model.create(minimal, tokenizer, { ...device, seed: 1 });
  const ids = { bosTokenId: tokenizer.bosId, eosTokenIds: [...tokenizer.eosIds] };
  expect([ids.bosTokenId, ids.eosTokenIds.length]).toEqual([expect.any(Number), 1]);
  expect(model.config).toEqual({ ...parseModelConfig(minimal), ...ids });
  using none = await Model.create({ ...minimal, bos_token_id: null, eos_token_id: [7, 8] }, tokenizer, device);
  expect(none.config).toMatchObject({ bosTokenId: null, eosTokenIds: [7, 8] });
});

test("the config's initializer_range holds unless the options have one, and is what is written", async () => {
  const wide = { ...minimal, initializer_range: 0.1 };
  using config = await Model.create(wide, tokenizer, device);
  using options = await Model.create(minimal, tokenizer, { ...device, initializer_range: 0.1 });
  using both = await Model.create(wide, tokenizer, { ...device, initializer_range: 0.02 });
  using plain = await Model.create(minimal, tokenizer, device);
  const [a, b, c, d] = await Promise.all([config, options, both, plain].map((each) => each.fingerprint()));
  expect([a === b, c === d, a === c]).toEqual([true, true, false]);
  await options.save(join(root, "wide"));
  expect(readJson(root, "wide", "config.json")).toMatchObject({ initializer_range: 0.1 });
});

const { vocab_size: _size, ...unsized } = minimal;

test.each<[object | undefined, string, string]>([
  [unsized, "ERR_CONFIG", "config: vocab_size is missing, a whole number from 1 to 2147483647 is wanted"],
  [{ ...unsized, vocabSize: 512 }, "ERR_CONFIG", "config: no such key as vocabSize; did you mean vocab_size?"],
  [{ ...minimal, numKeyValueHeads: 2 }, "ERR_CONFIG", "no such key as numKeyValueHeads; did you mean num_key_value_heads?"],
  [{ ...minimal, rope_tetha: 1e6 }, "ERR_CONFIG", "config: no such key as rope_tetha; did you mean rope_theta?"],
  [{ ...minimal, num_key_value_heads: 3 }, "ERR_CONFIG", "num_key_value_heads is 3, a divisor of num_attention_heads (4)"],
  [{ ...minimal, rope_scaling: { type: "linear" } }, "ERR_CONFIG", "config: rope: factor is missing"],
  [{ ...minimal, initializer_range: "wide" }, "ERR_CONFIG", "config: initializer_range is \"wide\", a positive number is wanted"],
  [{ ...minimal, model_type: "gpt2" }, "ERR_UNSUPPORTED", "config: the architecture \"gpt2\""],
  [{ ...minimal, hidden_act: "gelu" }, "ERR_UNSUPPORTED", "config: hidden_act \"gelu\""],
  [[minimal], "ERR_CONFIG", "wanted the object of a Hugging Face config.json"],
  [undefined, "ERR_CONFIG", "config is undefined, wanted the object of a Hugging Face config.json"],
])("%j is refused", async (config, code, message) => {
  await expect(Model.create(config as HuggingFaceConfig, tokenizer, device))
    .rejects.toMatchObject({ code, message: expect.stringContaining(message) });
});

test("keys that only look alike are let through; a missing tokenizer is named", async () => {
  const config = { ...minimal, pad_token_id: 0, hidden_sizes: 1 };
  using model = await Model.create(config, tokenizer, device);
  expect(model.parameterCount).toBeGreaterThan(0);
  await expect(Model.create(minimal, { seed: 1 } as never)).rejects.toMatchObject({
    code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("the second argument is no Tokenizer"),
  });
});
