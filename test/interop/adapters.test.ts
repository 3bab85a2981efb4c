// Adapters and Hugging Face peft, both ways: the same log-probabilities there and here; and what we do not compute is
// refused by its name.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Model, sft, trainBpe } from "../../src";
import { Tokenizer } from "../../src/text/tokenizer";
import { float32Limit, relativeError } from "../model/support/closeness";
import { TestTrainer } from "../model/support/trainer";
import { describeWith } from "./python";

const { tokenizer, tokenizerConfig } = trainBpe(["one and two make three", "four and five make nine"], { vocabSize: 280 });
const bpe = new Tokenizer({ tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate: null });
const config = {
  model_type: "llama", vocab_size: bpe.vocabSize, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
  num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 10000,
  tie_word_embeddings: false, max_position_embeddings: 48,
};
const sequences = [[1, 17, 30, 99, 250, 4, 4, 61], [1, 200, 3], [1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45]];

const ROWS = [{ prompt: "one and two make", completion: " three." }];

async function scoreHere(directory: string): Promise<number[]> {
  const model = await Model.load(directory, { device: "cpu" });
  const trainer = new TestTrainer(model.native, { training: false });
  const size = trainer.fillSequences(sequences.map((ids) => ({ tokens: ids.slice(0, -1), targets: ids.slice(1) })));
  const { rows } = await trainer.scores(size);
  trainer.dispose();
  model.dispose();
  return rows;
}

describeWith("peft", ["torch", "transformers", "peft"], (python) => {
  const directory = mkdtempSync(join(tmpdir(), "selfrefine-peft-"));
  const at = (name: string) => join(directory, name);
  const scoreThere = async (adapter: string): Promise<number[]> =>
    (await python.call<number[][]>("score_adapter", { base: at("base"), adapter: at(adapter), sequences })).flat();
  const makeThere = async (adapter: string, options: object): Promise<number[]> => (await python.call<number[][]>(
    "make_adapter", { base: at("base"), output: at(adapter), options, sequences })).flat();
  beforeAll(async () => {
    const base = await Model.create(config, bpe, { device: "cpu", seed: 7, initializer_range: 0.15 });
    await base.save(at("base"));
    base.dispose();
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test.each([
    ["all", { r: 4, lora_alpha: 6 }], ["rslora", { r: 5, lora_alpha: 3, use_rslora: true }],
    ["some", { r: 2, lora_alpha: 16, target_modules: ["k_proj" as const, "down_proj" as const] }],
  ])("computes with our adapter what we do: %s", async (name, lora) => {
    const model = await Model.load(at("base"), { device: "cpu", lora: { ...lora, seed: 5 } });
    for await (const _ of sft(model, ROWS, { max_steps: 6, learning_rate: 3e-2 })) { /* to its end */ }
    await model.save(at(name));
    await model.merge();
    await model.save(at(`${name}-merged`));
    model.dispose();
    const ours = await scoreHere(at(name));
    expect(relativeError(ours, await scoreHere(at("base")))).toBeGreaterThan(1e-2);
    expect(relativeError(ours, await scoreThere(name))).toBeLessThan(float32Limit);
    expect(relativeError(await scoreHere(at(`${name}-merged`)), ours)).toBeLessThan(float32Limit);
  });

  test("its auto classes find our adapter's base by the adapter alone, from any working directory", async () => {
    const model = await Model.load(at("base"), { device: "cpu", lora: { r: 4, seed: 5 } });
    for await (const _ of sft(model, ROWS, { max_steps: 6, learning_rate: 3e-2 })) { /* to its end */ }
    await model.save(at("auto"));
    model.dispose();
    const theirs = await python.call<number[][]>("score_auto", { adapter: at("auto"), sequences });
    expect(relativeError(await scoreHere(at("auto")), theirs.flat())).toBeLessThan(float32Limit);
  });

  test("the name that it gives a base is kept", async () => {
    await makeThere("peft-named", { r: 2, lora_alpha: 8, target_modules: ["q_proj"] });
    const nameOf = (name: string): unknown =>
      (JSON.parse(readFileSync(join(at(name), "adapter_config.json"), "utf8")) as Record<string, unknown>)[
        "base_model_name_or_path"];
    expect(nameOf("peft-named")).toBe(at("base"));
    const model = await Model.load(at("peft-named"), { device: "cpu" });
    await model.save(at("named-here"));
    model.dispose();
    expect(nameOf("named-here")).toBe(at("base"));
  });

  test.each([
    ["all-linear", { r: 3, lora_alpha: 5, target_modules: "all-linear" }],
    ["names", { r: 4, lora_alpha: 4, use_rslora: true, target_modules: ["q_proj", "v_proj", "gate_proj"] }],
    ["paths", { r: 2, lora_alpha: 8, target_modules: ["self_attn.o_proj", "mlp.up_proj"] }],
  ])("and we with its: %s", async (name, options) => {
    const theirs = await makeThere(`peft-${name}`, options);
    expect(relativeError(await scoreHere(at(`peft-${name}`)), theirs)).toBeLessThan(float32Limit);
    expect(relativeError(theirs, await scoreHere(at("base")))).toBeGreaterThan(1e-2);
  });

  test.each([
    ["dora", { r: 2, use_dora: true }, /use_dora is not supported/],
    ["pattern", { r: 2, rank_pattern: { q_proj: 3 } }, /rank_pattern is not supported/],
  ])("what we do not compute is refused: %s", async (name, options, message) => {
    await makeThere(`peft-${name}`, options);
    await expect(scoreHere(at(`peft-${name}`))).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message });
  });
});
