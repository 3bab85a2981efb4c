// plan() against what is then allocated: every arena of every kind of work to the byte, work areas after the batches
// that take most of them; the largest batch that fits; and the error where there is no room, before anything is taken.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { plan, planFor } from "../../src";
import {
  nativeAddon, type BatchSize, type Device, type LoraConfig, type MemoryRow, type ModelConfig, type NativeModelOptions,
  type PlannedWork,
} from "../../src/native";
import { deviceBytes, expectMemory, expectMemoryForModel, formatBytes, plannedRows } from "../../src/plan/memory";
import { parseBytes } from "../../src/plan/plan";
import { dpoCapacity, rowLengths, samplerCapacity, sftCapacity, trainingJob } from "../../src/plan/work";
import { smallConfig } from "../model/support/devices";
import { drain, generation } from "../model/support/sampler";
import { adamW, dpo, TestTrainer } from "../model/support/trainer";

const known = nativeAddon().devices().filter(({ usable }) => usable).map(({ name }) => name);
const devices = (["reference", "cpu", "cuda-sim", "cuda"] as const).filter((name) => known.includes(name));

const wide: ModelConfig = {
  ...smallConfig, vocabSize: 700, hiddenSize: 96, intermediateSize: 200, numAttentionHeads: 6, numKeyValueHeads: 3,
  headDim: 16, qkNorm: false, attentionBias: false, tieWordEmbeddings: false, maxPositionEmbeddings: 128,
};
const windowed: ModelConfig = { ...wide, numHiddenLayers: 3, slidingWindow: 24, attentionBias: true };
const configs = { "small, all parts": smallConfig, "untied": wide, "windowed": windowed };
const some: LoraConfig = { r: 5, scale: 2, targetModules: ["q_proj", "v_proj", "up_proj", "down_proj"] };
const all: LoraConfig =
  { ...some, r: 16, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] };
const kinds: readonly Pick<NativeModelOptions, "dtype" | "masters" | "lora">[] = [
  { dtype: "float32", masters: true }, { dtype: "bfloat16", masters: true }, { dtype: "bfloat16", masters: false },
  { dtype: "float32", masters: true, lora: some }, { dtype: "bfloat16", masters: true, lora: all },
];

const cases = Object.entries(configs).flatMap(([name, config]) => kinds.map((kind) => ({
  name: `${name}, ${kind.dtype}${kind.masters ? "" : " alone"}${kind.lora ? `, r ${kind.lora.r}` : ""}`, config, kind,
})));

const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 1 + (i % 50));

/** Rows of the given lengths until the trainer is full, as examples or as pairs of equal thirds. */
function fill(trainer: TestTrainer, preference: boolean, length: number, room: number): BatchSize {
  return trainer.fill((writer) => {
    for (let rest = room; rest >= (preference ? 2 : 1); rest -= Math.min(rest, length)) {
      const tokens = Math.min(rest, length);
      const answer = Math.max(1, Math.floor(tokens / 3));
      if (preference) writer.branches(ids(tokens - 2 * answer + 1), [ids(answer), ids(answer)], 0);
      else writer.example(ids(1), ids(tokens), 1, true);
    }
  });
}

async function trainedRows(
  config: ModelConfig, options: NativeModelOptions, work: PlannedWork, preference: boolean,
): Promise<MemoryRow[]> {
  const model = new (nativeAddon().Model)(config, options);
  await model.initialize(1, 0.02);
  const { capacity, rowLength, rows } = work.training!;
  const trainer = new TestTrainer(model, capacity);
  const even = Math.min(rowLength, Math.floor(capacity.maxTokens / rows));
  const all = capacity.maxTokens;
  for (const [length, room] of [[rowLength, all], [even, all], [rowLength, 144]] as const) {
    const size = fill(trainer, preference, length, Math.min(room, all));
    if (preference) {
      await trainer.native.logps(size);
      await trainer.native.dpoStep(size, dpo());
    } else {
      await trainer.native.sftStep(size);
    }
  }
  await trainer.native.update(adamW(1, 1e-3));
  const held = [...model.memory(), ...trainer.native.memory()];
  trainer.dispose();
  model.dispose();
  return held;
}

async function sampledRows(
  config: ModelConfig, options: NativeModelOptions, work: PlannedWork, promptLength: number,
): Promise<MemoryRow[]> {
  const model = new (nativeAddon().Model)(config, options);
  await model.initialize(1, 0.02);
  const capacity = work.sampling!;
  const sampler = new (nativeAddon().Sampler)(model, capacity);
  sampler.begin(generation({ maxNewTokens: capacity.maxLength - promptLength }));
  const tokens = Int32Array.from(ids(promptLength));
  for (let prompt = 0; prompt < capacity.maxBatch; prompt++) sampler.submit(prompt, tokens, 1);
  await drain(sampler);
  const held = [...model.memory(), ...sampler.memory()];
  sampler.dispose();
  model.dispose();
  return held;
}

const workAreas = (rows: readonly MemoryRow[]): number => rows.find(({ arena }) => arena === "work areas")!.bytes;
const arenas = (rows: readonly MemoryRow[]): MemoryRow[] => rows.filter(({ arena }) => arena !== "work areas");

/** Arenas to the byte. Work areas: on a GPU a bound, too high by no more than tables and partial sums. */
function expectPlanned(planned: readonly MemoryRow[], held: readonly MemoryRow[], device: Device): void {
  expect(arenas(planned)).toEqual(arenas(held));
  if (device === "cpu" || device === "reference") {
    expect(workAreas(planned)).toBe(workAreas(held));
  } else {
    expect(workAreas(planned)).toBeGreaterThanOrEqual(workAreas(held));
    expect(workAreas(planned)).toBeLessThan(workAreas(held) + 64 * 2 ** 20);
  }
}

/** The reference and the simulation take seconds for what the others do in milliseconds. */
const isSlow = (device: Device): boolean => device === "reference" || device === "cuda-sim";

describe.each(devices)("%s", (device) => {
  const own = cases.filter(({ kind }) => !isSlow(device) || kind.dtype === "float32" || !kind.masters);
  describe.each(own)("$name", ({ config, kind }) => {
    const options: NativeModelOptions = { device, threads: device === "cpu" ? 2 : 0, ...kind };

    const sizes = <T>(small: T, large: T): T[] => (isSlow(device) ? [small] : [small, large]);

    test.each(sizes([64, 20, 16], [700, 90, 30]))("sft in passes of %i tokens", async (tokens, longest, mean) => {
      const work = trainingJob("sft", tokens, { longest, mean }).work(tokens);
      expectPlanned(plannedRows(config, options, work), await trainedRows(config, options, work, false), device);
    });

    test.each(sizes([100, 40, 30], [600, 150, 60]))("dpo in passes of %i tokens", async (tokens, longest, mean) => {
      const work = trainingJob("dpo", tokens, { longest, mean }).work(tokens);
      expectPlanned(plannedRows(config, options, work), await trainedRows(config, options, work, true), device);
    });

    test.each(sizes([3, 20], [40, 60]))("a sampler of %i rows", async (maxBatch, promptLength) => {
      const work = { training: null, sampling: samplerCapacity(maxBatch, promptLength, 12) };
      const planned = plannedRows(config, options, work);
      const held = await sampledRows(config, options, work, promptLength);
      expect(arenas(planned)).toEqual(arenas(held));
      expect(workAreas(planned)).toBeGreaterThanOrEqual(workAreas(held));
    });
  });
});

for (const name of ["cuda-sim", "cuda"].filter((device) => !known.includes(device as Device))) {
  test.skip(`${name} cannot be used here`, () => undefined);
}

const llama2: ModelConfig = {
  ...smallConfig, vocabSize: 32000, hiddenSize: 4096, intermediateSize: 11008, numHiddenLayers: 32,
  numAttentionHeads: 32, numKeyValueHeads: 32, headDim: 128, tieWordEmbeddings: false, attentionBias: false,
  qkNorm: false, maxPositionEmbeddings: 4096,
};
const ofLlama2 = {
  device: "cuda", dtype: "bfloat16", optim_states: "bfloat16", max_length: 2048, memory: "139GiB",
} as const;

describe("a model of 7B on a GPU that need not be here", () => {
  const bytes = (result: ReturnType<typeof planFor>): Record<string, number> =>
    Object.fromEntries(result.arenas.map((row) => [row.arena, row.bytes]));
  const parameters = 6_738_415_616;

  test("has its states at 2 + 2 + 2 bytes a parameter, and 4 of gradient", () => {
    const found = bytes(planFor(llama2, { ...ofLlama2, micro_batch_tokens: 2048 }));
    expect(found["parameters"]).toBe(2 * parameters);
    expect(found["optimizer"]).toBe(4 * parameters);
    expect(found["gradients"]! - 4 * parameters).toBeLessThan(128);
    expect(found).not.toHaveProperty("masters");
    const classic = bytes(planFor(llama2, { ...ofLlama2, optim_states: "float32", micro_batch_tokens: 2048 }));
    expect([classic["masters"], classic["optimizer"]]).toEqual([4 * parameters, 8 * parameters]);
  });

  test("has activations that grow with the micro-batch, which is searched for", () => {
    const [one, two] = [4096, 8192].map((tokens) => planFor(llama2, { ...ofLlama2, micro_batch_tokens: tokens }));
    const growth = bytes(two!)["activations"]! / bytes(one!)["activations"]!;
    expect(growth).toBeCloseTo(2, 2);
    const { largest, fits } = one!;
    expect(fits).toBe(true);
    expect(planFor(llama2, { ...ofLlama2, micro_batch_tokens: largest! }).fits).toBe(true);
    expect(planFor(llama2, { ...ofLlama2, micro_batch_tokens: largest! + 1 }).fits).toBe(false);
    expect(planFor(llama2, { ...ofLlama2, memory: "20GiB" })).toMatchObject({ fits: false, largest: 0 });
  });

  test("is sampled from without masters, out of a cache on the device and batches on the host", () => {
    const sampling = { mode: "sample", max_batch: 32, memory: "80GB" } as const;
    const result = planFor(llama2, { device: "cuda", dtype: "bfloat16", ...sampling });
    expect(result).toMatchObject({ option: "max_batch", value: 32, fits: true });
    expect(result.arenas.filter(({ host }) => host).map(({ arena }) => arena)).toEqual(["prompts"]);
    expect(bytes(result)["kv cache"]).toBe(32 * (512 + 256 + 128) * 2 * 32 * 4096 * 2);
    expect(bytes(result)).not.toHaveProperty("masters");
  });
});

describe("where there is no room", () => {
  const options: NativeModelOptions = { device: "cpu", dtype: "float32", threads: 1, masters: true };
  const held = [{ arena: "parameters", bytes: 1000, shared: false }];
  const modelWith = (free: number) => ({
    config: wide, nativeOptions: options, native: { memory: () => held, availableBytes: () => free } as never,
  });
  const job = trainingJob("sft", 4096, rowLengths([60, 100, 80]));

  test("a training is refused before it begins, with its arenas and what would fit", () => {
    const rows = plannedRows(wide, options, job.work(4096));
    expect(() => expectMemory(modelWith(deviceBytes(rows, "cpu")), job)).not.toThrow();
    const smaller = deviceBytes(plannedRows(wide, options, job.work(1000)), "cpu");
    expect(() => expectMemory(modelWith(smaller), job)).toThrow(expect.objectContaining({
      code: "ERR_OUT_OF_MEMORY",
      message: expect.stringMatching(new RegExp("^sft: .* more are wanted on cpu, .* are free: activations .*gradients .*"
        + "lower `micro_batch_tokens` from 4096 to 1\\d{3}, or free some memory$")),
    }));
    expect(() => expectMemory(modelWith(1000), job)).toThrow(/no `micro_batch_tokens` is small enough: take `dtype` bf/);
  });

  test("a model is not begun to be read", () => {
    const huge = { ...llama2, hiddenSize: 65536, headDim: 2048, numHiddenLayers: 400 };
    expect(() => expectMemoryForModel(huge, options)).toThrow(expect.objectContaining({
      code: "ERR_OUT_OF_MEMORY",
      message: expect.stringMatching(/^model: .* TiB are wanted on cpu, .*: parameters .*TiB/),
    }));
  });

  test("more than can be counted is an error too", () => {
    const training = { capacity: sftCapacity(2 ** 31 - 1), preference: false, rowLength: 64, rows: 1 };
    const wider = { hiddenSize: 2 ** 20, intermediateSize: 2 ** 20, headDim: 4096, numHiddenLayers: 4096 };
    const endless = { ...llama2, ...wider };
    expect(() => plannedRows(endless, options, { training, sampling: null }))
      .toThrow(expect.objectContaining({ code: "ERR_OUT_OF_MEMORY" }));
  });
});

describe("plan of a path", () => {
  const folder = mkdtempSync(join(tmpdir(), "selfrefine-plan-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const fixture = join(__dirname, "..", "fixtures", "llama-tied");

  test("takes a directory or its config.json, with no weights in it", async () => {
    const whole = await plan(fixture, { device: "cpu", memory: "1GiB" });
    expect(await plan(join(fixture, "config.json"), { device: "cpu", memory: "1GiB" })).toEqual(whole);
    expect(whole).toMatchObject({ mode: "sft", option: "micro_batch_tokens", value: 4096, fits: true });
    expect(whole.device_bytes).toBe(whole.arenas.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test("a model of few positions: what was not given takes what is left, what was given does not shrink", () => {
    const sampling = (maxPositionEmbeddings: number, lengths: Parameters<typeof planFor>[1]) => {
      const { arenas, prompt_length, max_new_tokens } =
        planFor({ ...llama2, maxPositionEmbeddings }, { mode: "sample", device: "cpu", memory: "1TiB", ...lengths });
      return { arenas, prompt_length, max_new_tokens };
    };
    const whole = sampling(4096, { prompt_length: 256, max_new_tokens: 256 });
    expect(whole).toMatchObject({ prompt_length: 256, max_new_tokens: 256 });
    expect(sampling(512, {})).toEqual(whole);
    expect(sampling(512, { prompt_length: 256 })).toEqual(whole);
    expect(sampling(512, { max_new_tokens: 256 })).toEqual(whole);
    expect(sampling(4096, {})).toEqual(sampling(4096, { prompt_length: 512, max_new_tokens: 256 }));
    for (const given of [{ prompt_length: 512 }, { max_new_tokens: 512 }, { prompt_length: 300, max_new_tokens: 213 }])
      expect(() => sampling(512, given)).toThrow(/are more together than the model's 512 positions/);
  });

  test("names what is wrong", async () => {
    writeFileSync(join(folder, "weights.safetensors"), "");
    await expect(plan(join(folder, "weights.safetensors"))).rejects.toThrow(/wanted a model's directory, its config/);
    await expect(plan(folder)).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
    await expect(plan(fixture, { memory: "many" })).rejects.toMatchObject({ code: "ERR_CONFIG" });
    const sampling = { mode: "sample" } as const;
    await expect(plan(fixture, { ...sampling, micro_batch_tokens: 5 })).rejects.toThrow(/`plan.micro_batch_tokens` has no effect with `plan.mode` sample/);
    await expect(plan(fixture, { ...sampling, prompt_length: 10_000 })).rejects.toThrow(/more together than .*positions/);
  });
});

test("sizes are read and written as people do", () => {
  expect(() => parseBytes("9".repeat(400))).toThrow(expect.objectContaining({ code: "ERR_CONFIG" }));
  expect(["139GiB", "80 gb", "1.5KiB", "12"].map(parseBytes)).toEqual([139 * 2 ** 30, 80e9, 1536, 12]);
  expect([500, 2 ** 20, 1.5 * 2 ** 30, 139 * 2 ** 30].map(formatBytes))
    .toEqual(["0.488 KiB", "1.00 MiB", "1.50 GiB", "139 GiB"]);
  expect(dpoCapacity(5).maxSequences).toBe(10);
});
