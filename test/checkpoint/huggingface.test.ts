// Plans carried out in JavaScript: every byte of a checkpoint is the right row of the right parameter, both ways.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { checkpointEntries, parseModelConfig, planRead, planWrite, writeModelConfig }
  from "../../src/checkpoint/huggingface";
import { readLlama2c } from "../../src/checkpoint/llama2c";
import { buildHeader, readHeader } from "../../src/checkpoint/safetensors";
import type { ModelConfig, TensorEntry } from "../../src/native";
import { sharedPath, testWith } from "../data/shared";

const root = mkdtempSync(join(tmpdir(), "selfrefine-checkpoint-"));
afterAll(() => rmSync(root, { recursive: true }));
let directories = 0;

const json = {
  architectures: ["LlamaForCausalLM"], vocab_size: 7, hidden_size: 8, intermediate_size: 6, num_hidden_layers: 2,
  num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4, bos_token_id: 1, eos_token_id: 2, mine: "kept",
};
const config = parseModelConfig(json);

interface Spec {
  name: string;
  dtype: string;
  shape: readonly number[];
}

const specs = (of: ModelConfig, dtype = "F32"): Spec[] =>
  checkpointEntries(of).map(({ hfName, shape }) => ({ name: hfName, dtype, shape }));

/** Every element of the file is its own index from the start of the file, in units of four bytes. */
function writeTensors(path: string, tensors: Spec[]): void {
  const { bytes, fileSize } = buildHeader(tensors);
  const words = Float32Array.from({ length: Math.ceil(fileSize / 4) }, (_, i) => i);
  writeFileSync(path, Buffer.concat([bytes, Buffer.from(words.buffer).subarray(bytes.length, fileSize)]));
}

function directory(source: object, tensors: Spec[] | Spec[][]): string {
  const path = join(root, String(directories++));
  mkdirSync(path);
  writeFileSync(join(path, "config.json"), JSON.stringify(source));
  if (!Array.isArray(tensors[0])) {
    writeTensors(join(path, "model.safetensors"), tensors as Spec[]);
    return path;
  }
  const shards = (tensors as Spec[][]).map((shard, index) => ({ shard, name: `model-${index}.safetensors` }));
  shards.forEach(({ shard, name }) => writeTensors(join(path, name), shard));
  const map = Object.fromEntries(shards.flatMap(({ shard, name }) => shard.map((tensor) => [tensor.name, name])));
  writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: map }));
  return path;
}

/** Our parameters as the native code would fill them, as lists of values by row and column. */
function execute(files: { path: string; entries: TensorEntry[] }[], of: ModelConfig): Map<string, number[][]> {
  const columnsOf = new Map(checkpointEntries(of).map(({ parameter, shape }) => [parameter, shape[1] ?? 1]));
  const parameters = new Map<string, number[][]>();
  for (const { path, entries } of files) {
    const bytes = readFileSync(path);
    for (const { parameter, rowOffset, rows, fileOffset, dtype } of entries) {
      expect(dtype).toBe("F32");
      const columns = columnsOf.get(parameter)!;
      const matrix = parameters.get(parameter) ?? [];
      parameters.set(parameter, matrix);
      for (let row = 0; row < rows; row++) {
        expect(matrix[rowOffset + row]).toBeUndefined(); // no row is written twice
        const at = fileOffset + 4 * columns * row;
        matrix[rowOffset + row] = Array.from({ length: columns }, (_, c) => bytes.readFloatLE(at + 4 * c));
      }
    }
  }
  return parameters;
}

type Places = ReadonlyMap<string, { fileOffset: number; fileEnd: number }>;

function values(path: string, tensors: Places, name: string): number[] {
  const { fileOffset, fileEnd } = tensors.get(name)!;
  const bytes = readFileSync(path);
  return Array.from({ length: (fileEnd - fileOffset) / 4 }, (_, i) => bytes.readFloatLE(fileOffset + 4 * i));
}

describe("planRead", () => {
  test("every parameter is filled whole: query, key, value and gate, up stacked in this order", async () => {
    const path = directory(json, specs(config));
    const plan = await planRead(path);
    expect(plan.config).toEqual(config);
    expect(plan.source).toEqual(json);
    const file = plan.files[0]!.path;
    const parameters = execute(plan.files, config);
    const { tensors } = await readHeader(file);
    const joined = (...names: string[]) => names.flatMap((name) => values(file, tensors, name));
    const layer = "model.layers.1";
    expect(parameters.get(`${layer}.self_attn.qkv_proj.weight`)!.flat()).toEqual(joined(
      ...["q", "k", "v"].map((kind) => `${layer}.self_attn.${kind}_proj.weight`)));
    expect(parameters.get(`${layer}.self_attn.qkv_proj.weight`)).toHaveLength(16);
    expect(parameters.get(`${layer}.mlp.gate_up_proj.weight`)!.flat())
      .toEqual(joined(`${layer}.mlp.gate_proj.weight`, `${layer}.mlp.up_proj.weight`));
    expect(parameters.get("model.norm.weight")!.flat()).toEqual(joined("model.norm.weight"));
    for (const matrix of parameters.values()) expect(matrix.every((row) => row !== undefined)).toBe(true);
    const all = new Set(checkpointEntries(config).map(({ parameter }) => parameter));
    expect([...parameters.keys()].sort()).toEqual([...all].sort());
  });

  test("shards give the same plan, by file", async () => {
    const all = specs(config);
    const single = execute((await planRead(directory(json, all))).files, config);
    const sharded = await planRead(directory(json, [all.slice(0, 5), all.slice(5)]));
    expect(sharded.files).toHaveLength(2);
    const parameters = execute(sharded.files, config);
    expect([...parameters.keys()].sort()).toEqual([...single.keys()].sort());
  });

  test("a tied head may be there or not; computed tables are passed over", async () => {
    const tied = { ...json, tie_word_embeddings: true };
    const without = specs(parseModelConfig(tied));
    expect(without.some(({ name }) => name === "lm_head.weight")).toBe(false);
    const inverse = { name: "model.layers.0.self_attn.rotary_emb.inv_freq", dtype: "F32", shape: [2] };
    for (const tensors of [without, [...specs(config), inverse]]) {
      expect((await planRead(directory(tied, tensors))).files[0]!.entries).toHaveLength(without.length);
    }
  });

  test("biases and head norms of Qwen", async () => {
    const qwen2 = parseModelConfig({ ...json, architectures: ["Qwen2ForCausalLM"] });
    const bias = checkpointEntries(qwen2).filter(({ hfName }) => hfName.endsWith(".bias"));
    expect(bias.slice(0, 3)).toMatchObject([
      { hfName: "model.layers.0.self_attn.q_proj.bias", shape: [8], rowOffset: 0 },
      { hfName: "model.layers.0.self_attn.k_proj.bias", shape: [4], rowOffset: 8 },
      { hfName: "model.layers.0.self_attn.v_proj.bias", shape: [4], rowOffset: 12 },
    ]);
    expect(new Set(bias.map(({ parameter }) => parameter)).size).toBe(2);
    const qwen3 = parseModelConfig({ ...json, architectures: ["Qwen3ForCausalLM"] });
    expect(checkpointEntries(qwen3).filter(({ hfName }) => hfName.includes("_norm.weight")))
      .toMatchObject([0, 1].flatMap((layer) => ["q", "k"].map((kind) => (
        { hfName: `model.layers.${layer}.self_attn.${kind}_norm.weight`, shape: [4] }))));
  });

  test("stop tokens of generation_config.json come first", async () => {
    const path = directory(json, specs(config));
    writeFileSync(join(path, "generation_config.json"), JSON.stringify({ eos_token_id: [5, 2] }));
    expect((await planRead(path)).config.eosTokenIds).toEqual([5, 2]);
  });

  const all = specs(config);
  const change = (name: string, to: object) => all.map((spec) => (spec.name === name ? { ...spec, ...to } : spec));
  test.each<[string, Spec[], string, RegExp]>([
    ["missing", all.slice(1), "ERR_CHECKPOINT", /1 tensors of this config are missing: model\.embed_tokens\.weight/],
    ["unexpected", [...all, { name: "model.layers.2.x", dtype: "F32", shape: [1] }], "ERR_CHECKPOINT",
      /1 tensors do not belong to this config: model\.layers\.2\.x/],
    ["misshapen", change("model.norm.weight", { shape: [9] }), "ERR_CHECKPOINT",
      /tensor model\.norm\.weight is \[9\], the config wants \[8\]/],
    ["transposed", change("model.layers.0.mlp.down_proj.weight", { shape: [6, 8] }), "ERR_CHECKPOINT",
      /is \[6, 8\], .* \[8, 6\]/],
    ["of integers", change("model.norm.weight", { dtype: "I32" }), "ERR_UNSUPPORTED",
      /model\.norm\.weight is I32; F32, BF16/],
  ])("tensors that are %s are named", async (_name, tensors, code, message) => {
    const path = directory(json, tensors);
    await expect(planRead(path)).rejects.toThrow(message);
    await expect(planRead(path)).rejects.toMatchObject({ code });
  });

  test("shards: a missing file, a file outside, a tensor elsewhere are named", async () => {
    const path = directory(json, [all.slice(0, 5), all.slice(5)]);
    const index = join(path, "model.safetensors.index.json");
    const { weight_map: map } = JSON.parse(readFileSync(index, "utf8")) as { weight_map: Record<string, string> };
    const set = (changed: object) => writeFileSync(index, JSON.stringify({ weight_map: { ...map, ...changed } }));
    set({ "model.norm.weight": "../x.safetensors" });
    await expect(planRead(path)).rejects.toThrow(/"\.\.\/x\.safetensors" is no file name beside it/);
    set({ "model.norm.weight": "model-0.safetensors" });
    await expect(planRead(path)).rejects.toThrow(/tensor model\.norm\.weight is not in model-0/);
    set({ "model.norm.weight": "model-9.safetensors" });
    await expect(planRead(path)).rejects.toThrow(/cannot read .*model-9\.safetensors: no such file/);
  });

  test("a directory without weights says what it is", async () => {
    const path = directory(json, all);
    rmSync(join(path, "model.safetensors"));
    await expect(planRead(path))
      .rejects.toThrow(/neither model\.safetensors nor .*a Hugging Face checkpoint was expected/);
    writeFileSync(join(path, "pytorch_model.bin"), "");
    await expect(planRead(path)).rejects.toThrow(/pytorch_model\.bin is not read/);
    writeFileSync(join(path, "adapter_config.json"), "{}");
    await expect(planRead(path)).rejects.toThrow(/it is an adapter/);
    await expect(planRead(join(root, "none"))).rejects.toThrow(/none is no model: there is no such directory/);
  });

  test("a path that is no model says what to do instead", async () => {
    const home = join(root, "no-model");
    mkdirSync(join(home, "cache", "snapshots", "0a1b"), { recursive: true });
    writeFileSync(join(home, "cache", "snapshots", "0a1b", "config.json"), "{}");
    for (const name of ["adapter", "run", "empty"]) mkdirSync(join(home, name));
    writeFileSync(join(home, "adapter", "adapter_config.json"), "{}");
    mkdirSync(join(home, "run", "stages"));
    writeFileSync(join(home, "model.safetensors"), "");
    const why = (name: string) => planRead(name === "An-Org/a-model" ? name : join(home, name))
      .then(() => "a model", (error: Error) => error.message);
    expect(await why("An-Org/a-model")).toContain("(hf download An-Org/a-model --local-dir DIR)");
    expect(await why("cache")).toMatch(/did you mean .*0a1b\?$/);
    expect(await why("adapter")).toContain("merge it into its base model first");
    expect(await why("run")).toMatch(/it is a run; its models are .*stages.*model$/);
    expect(await why("empty")).toContain("no config.json is in it");
    expect(await why("model.safetensors")).toContain("it is a file; give the directory");
    expect(await why("model.gguf")).toContain("a GGUF file is not read");
  });
});

describe("planWrite", () => {
  /** The file native code would write: element (row, column) of a parameter is a number that names it. */
  function writeBy(plan: { header: Uint8Array; entries: TensorEntry[]; fileSize: number }, of: ModelConfig): Buffer {
    const columnsOf = new Map(checkpointEntries(of).map(({ parameter, shape }) => [parameter, shape[1] ?? 1]));
    const bytes = Buffer.alloc(plan.fileSize, 0xff);
    bytes.set(plan.header);
    for (const { parameter, rowOffset, rows, fileOffset } of plan.entries) {
      const columns = columnsOf.get(parameter)!;
      for (let i = 0; i < rows * columns; i++) bytes.writeFloatLE(rowOffset * columns + i, fileOffset + 4 * i);
    }
    return bytes;
  }

  test("what is written by the plan is read back by the other plan, row for row", async () => {
    const path = join(root, String(directories++));
    mkdirSync(path);
    await writeModelConfig(path, config, "float32", { config: json });
    writeFileSync(join(path, "model.safetensors"), writeBy(planWrite(config, "float32"), config));
    const plan = await planRead(path);
    expect(plan.config).toEqual(config);
    expect(plan.source.mine).toBe("kept");
    for (const matrix of execute(plan.files, config).values()) {
      expect(matrix.flat()).toEqual(Array.from({ length: matrix.flat().length }, (_, i) => i));
    }
  });

  test("bf16 takes half the bytes", () => {
    const plan = planWrite(config, "bfloat16");
    expect(plan.entries.every(({ dtype }) => dtype === "BF16")).toBe(true);
    const data = planWrite(config, "float32");
    expect(plan.fileSize - plan.header.length).toBe((data.fileSize - data.header.length) / 2);
  });

  test("interleaved RoPE is written in Hugging Face's order of rows", async () => {
    const interleaved = { ...config, ropeInterleaved: true };
    const path = join(root, "permuted.safetensors");
    writeFileSync(path, writeBy(planWrite(interleaved, "float32"), interleaved));
    const { tensors } = await readHeader(path);
    const rowsOf = (name: string) => (
      values(path, tensors, name).filter((_, i) => i % 8 === 0).map((value) => value / 8));
    // Head 0 of 4 rows: pairs (0, 1), (2, 3) become the halves 0, 2 | 1, 3.
    expect(rowsOf("model.layers.0.self_attn.q_proj.weight")).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
    expect(rowsOf("model.layers.0.self_attn.k_proj.weight")).toEqual([8, 10, 9, 11]);
    expect(rowsOf("model.layers.0.self_attn.v_proj.weight")).toEqual([12, 13, 14, 15]);
  });

  test("generation_config.json names the stop tokens and keeps what else it held", async () => {
    const path = join(root, String(directories++));
    mkdirSync(path);
    await writeModelConfig(path, { ...config, eosTokenIds: [2, 5] }, "float32", {
      config: { ...json, pad_token_id: 0 }, generation: { eos_token_id: 9, temperature: 0.7 },
    });
    expect(JSON.parse(readFileSync(join(path, "generation_config.json"), "utf8")))
      .toEqual({ bos_token_id: 1, eos_token_id: [2, 5], pad_token_id: 0, temperature: 0.7 });
  });
});

describe("llama2.c", () => {
  const stories = sharedPath("stories260K", "stories260K.bin");

  testWith("stories260K: every byte but header and RoPE tables is some row, once", [stories], async () => {
    const plan = await readLlama2c(stories);
    expect(plan.config).toMatchObject({
      vocabSize: 512, hiddenSize: 64, intermediateSize: 172, numHiddenLayers: 5, numAttentionHeads: 8,
      numKeyValueHeads: 4, headDim: 8, ropeInterleaved: true, tieWordEmbeddings: true, maxPositionEmbeddings: 512,
    });
    const parameters = execute(plan.files, plan.config);
    const count = [...parameters.values()].reduce((sum, matrix) => sum + matrix.length * matrix[0]!.length, 0);
    expect(count).toBe(260_032);
    // Norm weights stand about 1, which a shifted layout would not show.
    for (const [name, matrix] of parameters) {
      const mean = matrix.flat().reduce((sum, value) => sum + value, 0) / matrix.flat().length;
      if (name.includes("norm")) expect(mean).toBeGreaterThan(0.2);
      else expect(Math.abs(mean)).toBeLessThan(0.05);
    }
    expect(planWrite(plan.config, "float32").entries.length).toBeGreaterThan(5 * 96);
  });

  testWith("a file cut off, or of another kind, is refused", [stories], async () => {
    const whole = readFileSync(stories);
    const path = join(root, "cut.bin");
    writeFileSync(path, whole.subarray(0, 100_000));
    await expect(readLlama2c(path)).rejects.toThrow(/cut\.bin: 100000 bytes, its header asks for \d+: it is truncated/);
    writeFileSync(path, whole.subarray(0, 20));
    await expect(readLlama2c(path)).rejects.toThrow(/20 bytes are too few/);
    writeFileSync(path, Buffer.from("This is some text, not a model at all."));
    await expect(readLlama2c(path)).rejects.toThrow(/is not that of a llama2\.c version 0 file/);
  });
});
