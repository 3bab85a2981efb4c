// Adapters as a program uses them: trained by sft and dpo, saved as PEFT directories, loaded onto their base, merged;
// and what of PEFT's options is refused.
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Model, dpo, plan, sample, sft, trainBpe, type DpoOptions, type FreshLora, type LoadOptions, type SftOptions } from "../../src";
import { readHeader } from "../../src/checkpoint/safetensors";
import { modelKey } from "../../src/run/model-ref";
import { Tokenizer } from "../../src/text/tokenizer";

const words = ["one", "two", "three", "four", "five"];
const rows = Array.from({ length: 12 }, (_, i) => ({
  prompt: `${words[i % 5]} and ${words[(i * 3) % 5]} make`,
  completion: ` ${words.slice(0, 1 + (i % 4)).join(" then ")}.`,
}));
const pairs = rows.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: " nothing at all." }));

const { tokenizer, tokenizerConfig } = trainBpe(rows.map((row) => row.prompt + row.completion), { vocabSize: 300 });
const bpe = new Tokenizer({ tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate: null });
const config = {
  model_type: "llama", vocab_size: bpe.vocabSize, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
  num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 10000,
  tie_word_embeddings: true, max_position_embeddings: 48,
};

const directory = mkdtempSync(join(tmpdir(), "selfrefine-lora-"));
const at = (name: string) => join(directory, name);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const models: Model[] = [];
async function load(name: string, options: LoadOptions = {}): Promise<Model> {
  const model = await Model.load(at(name), { device: "cpu", ...options });
  models.push(model);
  return model;
}
afterEach(() => models.splice(0).forEach((model) => model.dispose()));

beforeAll(async () => {
  const base = await Model.create(config, bpe, { device: "cpu", seed: 7, initializer_range: 0.1 });
  await base.save(at("base"));
  base.dispose();
});

const lora: FreshLora = { r: 4, lora_alpha: 8, seed: 5 };
const options: Partial<SftOptions> = { batch_size: 6, num_train_epochs: 2, learning_rate: 1e-2 };

async function steps<T extends { type: string }>(events: AsyncIterable<T>): Promise<Extract<T, { type: "step" }>[]> {
  const all: Extract<T, { type: "step" }>[] = [];
  for await (const event of events) if (event.type === "step") all.push(event as Extract<T, { type: "step" }>);
  return all;
}

/** Mean loss of the rows under a model, by a training that does not move. */
async function lossOf(model: Model): Promise<number> {
  const [step] = await steps(sft(model, rows, { batch_size: 12, max_steps: 1, learning_rate: 1e-30 }));
  return step!.loss;
}

async function tuned(name: string, given: Partial<FreshLora> = {}, more: LoadOptions = {}): Promise<Model> {
  const model = await load("base", { lora: { ...lora, ...given }, ...more });
  await steps(sft(model, rows, options));
  await model.save(at(name), { replace: true });
  return model;
}

type Json = Record<string, unknown>;
const adapterJson = (name: string) => JSON.parse(readFileSync(at(`${name}/adapter_config.json`), "utf8")) as Json;

describe("training", () => {
  test("sft lowers the loss and moves the adapters alone; other seeds begin elsewhere", async () => {
    const model = await load("base", { lora });
    const losses = (await steps(sft(model, rows, { ...options, num_train_epochs: 6 }))).map(({ loss }) => loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.8);
    expect(model.trainableCount).toBe(2 * 4 * (32 + 32 + 32 + 16 + 32 + 16 + 32 + 32 + 32 + 48 + 32 + 48 + 48 + 32));
    const run = async (seed: number) =>
      (await steps(sft(await load("base", { lora: { ...lora, seed } }), rows, options))).map(({ loss }) => loss);
    const [first, again, other] = [await run(5), await run(5), await run(6)];
    expect(again).toEqual(first);
    expect(other[0]).toBe(first[0]); // B is 0: no seed shows
    expect(other.at(-1)).not.toBe(first.at(-1));
  });

  test("dpo goes on with the adapter of sft: its first loss is ln 2, against its own start", async () => {
    await tuned("for-dpo");
    const model = await load("for-dpo");
    const given = { batch_size: 12, num_train_epochs: 4, learning_rate: 1e-2 };
    const [first, ...rest] = await steps(dpo(model, pairs, given));
    expect(first!.loss).toBeCloseTo(Math.LN2, 7);
    expect(first!["rewards/margins"]).toBe(0);
    expect(rest.at(-1)!.loss).toBeLessThan(Math.LN2);
  });

  test("switched off it is not trained: said before the reference is scored", async () => {
    const model = await load("base", { lora });
    model.useAdapter(false);
    for (const events of [sft(model, rows, options), dpo(model, pairs, { reference: "base" })]) {
      await expect(events.next()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message: /switched off/ });
    }
    model.useAdapter(true);
    expect((await steps(sft(model, rows, options))).length).toBeGreaterThan(0);
  });

  test("reference base is the model without its adapters", async () => {
    await tuned("for-base");
    const plain = await load("base");
    const score = async (model: Model, given: Partial<DpoOptions>) => {
      for await (const event of dpo(model, pairs, { batch_size: 12, ...given })) {
        if (event.type === "reference_logps") return [...event.chosen, ...event.rejected];
      }
      throw new Error("no reference");
    };
    const ofBase = await score(plain, {});
    expect(await score(await load("for-base"), { reference: "base" })).toEqual(ofBase);
    expect(await score(await load("for-base"), {})).not.toEqual(ofBase);
    const [first] = await steps(dpo(await load("for-base"), pairs, { batch_size: 12, reference: "base" }));
    expect(first!.loss).not.toBeCloseTo(Math.LN2, 4);
    const [fresh] = await steps(dpo(await load("base", { lora }), pairs, { batch_size: 12, reference: "base" }));
    expect(fresh!.loss).toBeCloseTo(Math.LN2, 7);
    await expect(steps(dpo(plain, pairs, { reference: "base" })))
      .rejects.toMatchObject({ code: "ERR_CONFIG", message: /`reference` base has no effect: the model has no adapters/ });
  });

  test("reference base: within the loop the adapters are on, whatever is done with the model there", async () => {
    await tuned("sampled-within");
    const model = await load("sampled-within");
    const draw = async (): Promise<number[]> => {
      const prompts = [{ prompt: rows[0]!.prompt }];
      for await (const event of sample(model, prompts, { temperature: 0, max_new_tokens: 6 })) {
        if (event.type === "sample") return [...event.logps];
      }
      throw new Error("no sample");
    };
    const adapted = await draw();
    model.useAdapter(false);
    expect(await draw()).not.toEqual(adapted);
    model.useAdapter(true);
    const given: Partial<DpoOptions> = { batch_size: 12, reference: "base", micro_batch_tokens: 64, learning_rate: 1e-30 };
    const seen = new Set<string>();
    for await (const { type } of dpo(model, pairs, given)) {
      seen.add(type);
      expect(await draw()).toEqual(adapted); // a step that does not move leaves it so too
    }
    expect([...seen]).toEqual(["reference", "reference_logps", "step", "trained"]);
    await expect(model.asBase(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await draw()).toEqual(adapted);
  });

  test("an interrupted training ends bit for bit as one that was not", async () => {
    const whole = await load("base", { lora });
    await steps(sft(whole, rows, options));
    const abort = new AbortController();
    const checkpoint = { directory: at("checkpoints"), every_seconds: 1e9 };
    const stopped = await load("base", { lora });
    await expect((async () => {
      for await (const event of sft(stopped, rows, options, { signal: abort.signal, checkpoint })) {
        if (event.type === "step" && event.step === 2) abort.abort();
      }
    })()).rejects.toThrow();
    const resumed = await load("base", { lora });
    expect((await steps(sft(resumed, rows, options, { checkpoint })))[0]!.step).toBe(3);
    expect(await resumed.fingerprint()).toBe(await whole.fingerprint());
    const otherLora = await load("base", { lora: { ...lora, lora_alpha: 16 } });
    await expect(steps(sft(otherLora, rows, options, { checkpoint }))).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
  });
});

describe("files", () => {
  test("an adapter comes back bit for bit, with PEFT's names, beside its base", async () => {
    const model = await tuned("adapter", { target_modules: ["v_proj", "q_proj", "down_proj"], use_rslora: true });
    const { tensors } = await readHeader(at("adapter/adapter_model.safetensors"));
    expect([...tensors.values()].slice(0, 6).map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", [4, 32]],
      ["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", "F32", [32, 4]],
      ["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight", "F32", [4, 32]],
      ["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight", "F32", [16, 4]],
      ["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight", "F32", [4, 48]],
      ["base_model.model.model.layers.0.mlp.down_proj.lora_B.weight", "F32", [32, 4]],
    ]);
    expect(tensors.size).toBe(12);
    expect(adapterJson("adapter")).toMatchObject({
      peft_type: "LORA", task_type: "CAUSAL_LM", base_model_name_or_path: at("base"), r: 4, lora_alpha: 8, bias: "none",
      use_rslora: true, target_modules: ["q_proj", "v_proj", "down_proj"], lora_dropout: 0,
    });
    const again = await load("adapter");
    expect(again.lora).toEqual({ r: 4, lora_alpha: 8, use_rslora: true, target_modules: ["q_proj", "v_proj", "down_proj"] });
    expect(await again.fingerprint()).toBe(await model.fingerprint());
    expect(await lossOf(again)).toBe(await lossOf(model));
  });

  test("merged and saved it is a whole model that computes the same", async () => {
    const model = await tuned("to-merge");
    const loss = await lossOf(model);
    expect(loss).toBeLessThan(await lossOf(await load("base", { lora })) - 0.1);
    const merged = await load("to-merge");
    await merged.merge();
    expect(merged.lora).toBeNull();
    const copy = await merged.clone();
    models.push(copy);
    await copy.save(at("copy"));
    expect(await lossOf(await load("copy"))).toBeCloseTo(loss, 5);
    await merged.save(at("whole"));
    const whole = await load("whole");
    expect(whole.lora).toBeNull();
    expect(await lossOf(whole)).toBeCloseTo(loss, 5);
  });

  /** A folder of its own with a copy of the base, and an adapter of that, trained and saved there as "adapter". */
  async function homeOfTwo(base = "base"): Promise<string> {
    const home = mkdtempSync(join(directory, "home-"));
    cpSync(at("base"), join(home, base), { recursive: true });
    const model = await Model.load(join(home, base), { device: "cpu", lora });
    models.push(model);
    await steps(sft(model, rows, options));
    await model.save(join(home, "adapter"));
    return home;
  }
  const configAt = (path: string) => JSON.parse(readFileSync(join(path, "adapter_config.json"), "utf8")) as Json;
  const nameBase = (path: string, change: Json) =>
    writeFileSync(join(path, "adapter_config.json"), JSON.stringify({ ...configAt(path), ...change }));
  async function openAt(path: string, base?: string): Promise<Model> {
    const model = await Model.load(path, { device: "cpu", ...(base === undefined ? {} : { base_model: base }) });
    models.push(model);
    return model;
  }

  test("the two can be moved together; a base that is gone is an error that names the option", async () => {
    const home = await homeOfTwo();
    const adapter = join(home, "adapter");
    expect(configAt(adapter)).toMatchObject({ base_model_name_or_path: join(home, "base"), revision: null });
    const loss = await lossOf(await openAt(adapter));
    const moved = `${home}-moved`;
    renameSync(home, moved);
    const there = await openAt(join(moved, "adapter"));
    expect([await lossOf(there), there.base]).toEqual([loss, join(moved, "base")]);
    await there.save(join(moved, "again"));
    expect(configAt(join(moved, "again"))["base_model_name_or_path"]).toBe(join(moved, "base"));
    renameSync(join(moved, "base"), join(moved, "elsewhere"));
    await expect(Model.load(join(moved, "adapter"))).rejects.toMatchObject({
      code: "ERR_IO", message: /names the base model ".*\/base", which is not there .*--base-model/,
    });
    const found = await openAt(join(moved, "adapter"), join(moved, "elsewhere"));
    expect(await lossOf(found)).toBe(loss);
    await found.save(join(moved, "found"));
    expect(configAt(join(moved, "found"))["base_model_name_or_path"]).toBe(join(moved, "elsewhere"));
  });

  test("a base named by a path is found from the adapter's folder or the working directory", async () => {
    const home = await homeOfTwo();
    const adapter = join(home, "adapter");
    rmSync(join(adapter, "base_model.json"));
    const places = [[join(home, "base"), "absolute"], ["../base", "as older versions wrote it"],
      [relative(process.cwd(), join(home, "base")), "as PEFT writes it"]] as const;
    for (const [name] of places) {
      nameBase(adapter, { base_model_name_or_path: name });
      expect((await openAt(adapter)).base).toBe(join(home, "base"));
    }
  });

  test("a name in adapter_config.json that is changed by hand is the one that counts", async () => {
    const home = await homeOfTwo();
    cpSync(join(home, "base"), join(home, "other"), { recursive: true });
    nameBase(join(home, "adapter"), { base_model_name_or_path: join(home, "other") });
    expect((await openAt(join(home, "adapter"))).base).toBe(join(home, "other"));
  });

  test("a name on the hub is kept, and the base found again where it was", async () => {
    const home = await homeOfTwo();
    const onHub = { base_model_name_or_path: "an-org/a-model", revision: "abc" };
    nameBase(join(home, "adapter"), onHub);
    await expect(Model.load(join(home, "adapter"))).rejects.toMatchObject({ code: "ERR_IO", message: /"an-org\/a-model"/ });
    const model = await openAt(join(home, "adapter"), join(home, "base"));
    await model.save(join(home, "kept"));
    expect(configAt(join(home, "kept"))).toMatchObject(onHub);
    const again = await openAt(join(home, "kept"));
    expect([again.base, await again.fingerprint()]).toEqual([join(home, "base"), await model.fingerprint()]);
  });

  test("a base in the hub's cache is named as there", async () => {
    const snapshot = join("models--an-org--a-model", "snapshots", "0a1b");
    const home = await homeOfTwo(snapshot);
    expect(configAt(join(home, "adapter"))).toMatchObject({ base_model_name_or_path: "an-org/a-model", revision: "0a1b" });
    expect((await openAt(join(home, "adapter"))).base).toBe(join(home, snapshot));
  });

  test("what stands for an adapter's bytes stands for those of its base too", async () => {
    const home = await homeOfTwo();
    const adapter = join(home, "adapter");
    const key = await modelKey(adapter);
    cpSync(join(home, "base"), join(home, "same"), { recursive: true });
    expect(await modelKey(adapter, join(home, "same"))).toBe(key);
    const weights = join(home, "same", "model.safetensors");
    const bytes = readFileSync(weights);
    bytes.subarray(-4).fill(7);
    writeFileSync(weights, bytes);
    expect(await modelKey(adapter, join(home, "same"))).not.toBe(key);
  });

  test("is never written over its base, by whatever name", async () => {
    const home = mkdtempSync(join(directory, "home-"));
    cpSync(at("base"), join(home, "base"), { recursive: true });
    symlinkSync(join(home, "base"), join(home, "link"));
    const model = await Model.load(join(home, "link"), { device: "cpu", lora });
    models.push(model);
    for (const name of [join(home, "base"), join(home, "link"), home]) {
      await expect(model.save(name, { replace: true })).rejects.toMatchObject({
        code: "ERR_CONFIG", message: /is or holds the base model that the adapter needs/,
      });
    }
    await model.save(join(home, "base-2"), { replace: true });
    expect(readFileSync(join(home, "base", "model.safetensors")).equals(readFileSync(at("base/model.safetensors"))))
      .toBe(true);
  });

  test("a plan of an adapter is that of its base with such adapters", async () => {
    const { seed: _, ...fresh } = lora;
    await tuned("planned");
    const given = { device: "cpu", max_length: 32 } as const;
    expect(await plan(at("planned"), given)).toEqual({
      ...await plan(at("base"), { ...given, lora: fresh }), available_bytes: expect.any(Number), largest: expect.any(Number),
    });
  });

  test("options that would do nothing are refused", async () => {
    await tuned("idle");
    await expect(load("idle", { lora })).rejects.toMatchObject({ code: "ERR_CONFIG", message: /`lora` has no effect/ });
    await expect(load("base", { base_model: at("base") })).rejects.toMatchObject({ code: "ERR_CONFIG", message: /is no adapter/ });
    const states = { dtype: "bfloat16", optim_states: "bfloat16" } as const;
    await expect(steps(sft(await load("idle", states), rows, options)))
      .rejects.toMatchObject({ code: "ERR_CONFIG", message: /`optim_states` bfloat16 has no effect on adapters/ });
    await expect(plan(at("base"), { ...states, lora })).rejects.toMatchObject({ code: "ERR_CONFIG", message: /optim_states/ });
    await expect(plan(at("idle"), { lora })).rejects.toMatchObject({ code: "ERR_CONFIG", message: /`lora` has no effect/ });
    await expect(plan(at("base"), { base_model: at("base") }))
      .rejects.toMatchObject({ code: "ERR_CONFIG", message: /`base_model` has no effect/ });
    await expect(load("base", { lora: { r: 0 } })).rejects.toMatchObject({ code: "ERR_CONFIG", message: /r: / });
    await expect(load("base", { lora: { r: 4, target_modules: ["lm_head"] as never } }))
      .rejects.toMatchObject({ code: "ERR_CONFIG", message: /target_modules/ });
  });
});

describe("adapters of others", () => {
  /** The adapter "foreign" with keys of its config changed. */
  async function foreign(change: Record<string, unknown>): Promise<string> {
    await tuned("foreign");
    writeFileSync(at("foreign/adapter_config.json"), JSON.stringify({ ...adapterJson("foreign"), ...change }));
    return "foreign";
  }

  test("keys that PEFT writes and that change nothing are kept", async () => {
    const name = await foreign({ revision: null, auto_mapping: null, corda_config: null, rank_pattern: {}, note: "kept" });
    const model = await load(name);
    await model.save(at("kept"));
    expect(adapterJson("kept")).toMatchObject({ note: "kept", revision: null });
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ use_dora: true }, /use_dora is not supported/], [{ bias: "all" }, /bias is "all"/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save is not supported/],
    [{ rank_pattern: { q_proj: 2 }, alpha_pattern: { q_proj: 2 } }, /rank_pattern, alpha_pattern are not supported/],
    [{ layers_to_transform: [0] }, /layers_to_transform/], [{ peft_type: "IA3" }, /peft_type is "IA3"/],
    [{ task_type: "SEQ_CLS" }, /task_type is "SEQ_CLS"/], [{ init_lora_weights: "pissa" }, /changed the base/],
    [{ target_modules: ["q_proj", "embed_tokens"] }, /target_modules has "embed_tokens"/],
    [{ target_modules: ".*_proj" }, /target_modules is "\.\*_proj"/],
    [{ target_modules: ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"] },
      /target_modules has q_proj of some layers only/],
    [{ kasa_config: { beta: 1 }, use_new: true }, /kasa_config, use_new are not supported/],
  ])("%j is refused by name", async (change, message) => {
    await expect(load(await foreign(change))).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message });
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ r: 0 }, /r is 0/], [{ r: "8" }, /r is "8"/], [{ lora_alpha: null }, /lora_alpha is/],
    [{ r: 2 }, /lora_A\.weight is \[4, 32\], the config wants \[2, 32\]/],
    [{ target_modules: ["q_proj"] }, /tensors do not belong/],
    [{ target_modules: ["model.layers.0.mlp.up_proj"] }, /tensors do not belong/],
  ])("%j is a fault of the files", async (change, message) => {
    await expect(load(await foreign(change))).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message });
  });

  test("target_modules as PEFT writes what all-linear stood for", async () => {
    const change = { target_modules: [0, 1].flatMap((layer) => [
      ...["q", "k", "v", "o"].map((name) => `model.layers.${layer}.self_attn.${name}_proj`),
      ...["gate", "up", "down"].map((name) => `model.layers.${layer}.mlp.${name}_proj`),
    ]) };
    const model = await load(await foreign(change));
    expect(model.lora!.target_modules).toHaveLength(7);
    expect(await lossOf(model)).toBe(await lossOf(await tuned("own")));
  });

  test("dropout does not keep it from being sampled, but from being trained", async () => {
    const model = await load(await foreign({ lora_dropout: 0.1 }));
    await expect(steps(sft(model, rows, options)))
      .rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message: /lora_dropout is 0\.1/ });
    await expect(steps(dpo(model, pairs))).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
    await model.save(at("as-it-was"));
    expect(adapterJson("as-it-was")["lora_dropout"]).toBe(0.1);
  });

  test("a value that is no number, and a missing tensor, are named", async () => {
    const name = await foreign({});
    const path = at(`${name}/adapter_model.safetensors`);
    const { tensors } = await readHeader(path);
    const [tensor] = tensors.values();
    const bytes = readFileSync(path);
    bytes.writeFloatLE(NaN, tensor!.fileOffset + 4);
    writeFileSync(path, bytes);
    await expect(load(name)).rejects.toMatchObject({
      code: "ERR_CHECKPOINT", message: /adapter_model\.safetensors: model\.layers\.0\.self_attn\.qkv_proj\.lora_A.weight \[0, 1\]/,
    });
    rmSync(path);
    await expect(load(name)).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: /adapter_model\.safetensors is not there/ });
  });
});
