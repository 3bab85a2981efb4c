// Adapters in the engine: a fresh one changes nothing; a trained one computes what its merged weights do, and its
// gradients are those of the merged weights by the chain rule; weights below stay; off, on, merged, resumed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import {
  nativeAddon, type Device, type DType, type LoraConfig, type NativeModel, type PlannedWork,
} from "../../src/native";
import { Random } from "../kernels/support/random";
import { float32Limit, relativeError } from "./support/closeness";
import { makeModel, smallConfig } from "./support/devices";
import { capacity, generate, generation } from "./support/sampler";
import { adamW, dpo, TestTrainer, type Pair } from "./support/trainer";

const usable = nativeAddon().devices().filter((device) => device.usable).map(({ name }) => name);
const lacking = (["cuda-sim"] as const).filter((name) => !usable.includes(name));
const devices = (["reference", "cpu", "cuda-sim", "cuda"] as const).filter((name) => usable.includes(name));

const all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const lora: LoraConfig = { r: 3, scale: 1.5, targetModules: all };

const pairs: Pair[] = [
  { prompt: [1, 5, 9], chosen: [21, 25, 2], rejected: [22, 2] },
  { prompt: [1, 40], chosen: [41, 2], rejected: [50, 51, 2] },
];
const examples = [
  { prompt: [1, 3, 5], completion: [7, 9, 11, 2] },
  { prompt: [1], completion: [30, 31, 32, 33, 34, 2] },
];

const folder = mkdtempSync(join(tmpdir(), "selfrefine-lora-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Setup {
  dtype?: DType;
  lora?: LoraConfig | null;
  /** B is 0 unless the adapter is taken to be trained. */
  trained?: boolean;
}

const view = (model: NativeModel, name: string) => new Float32Array(model.parameterView(name));

/** The same weights on every device, whatever the adapter. */
async function make(device: Device, { dtype = "float32", lora: config = lora, trained = false }: Setup = {}) {
  const model = makeModel(smallConfig, device, { dtype, lora: config });
  await model.initialize(7, 0.25);
  if (config) await model.initializeAdapter(11);
  if (trained) {
    const random = new Random(3);
    for (const { name } of model.adapterParameters()) {
      const values = view(model, name);
      values.forEach((value, i) => { values[i] = value + 0.2 * random.normal(); });
    }
    model.sync();
  }
  return model;
}

const room = { maxTokens: 64, maxSegments: 8, maxSequences: 8 };
const fillExamples = (trainer: TestTrainer) => trainer.fill((writer) =>
  examples.forEach(({ prompt, completion }) => writer.example(prompt, completion, 0.1, false)));

async function scoresOf(model: NativeModel): Promise<number[]> {
  const trainer = new TestTrainer(model, { ...room, training: false });
  try {
    return (await trainer.scores(fillExamples(trainer))).rows;
  } finally {
    trainer.dispose();
  }
}

type Matrix = { rows: number; columns: number; at: (row: number, column: number) => number };

const shapeOf = (model: NativeModel, name: string): [number, number] =>
  [...model.parameters(), ...model.adapterParameters()].find((parameter) => parameter.name === name)!
    .shape as [number, number];

function matrix(values: ArrayLike<number>, [rows, columns]: [number, number], firstRow = 0): Matrix {
  return { rows, columns, at: (row, column) => values[(firstRow + row) * columns + column]! };
}

function product(a: Matrix, b: Matrix, scale: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.columns; j++) {
      let sum = 0;
      for (let k = 0; k < a.columns; k++) sum += a.at(i, k) * b.at(k, j);
      result.push(scale * sum);
    }
  }
  return result;
}

const transposed = ({ rows, columns, at }: Matrix): Matrix =>
  ({ rows: columns, columns: rows, at: (row, column) => at(column, row) });

interface Block {
  /** Name of the matrix, without ".weight". */
  matrix: string;
  /** Which of its adapters, and its rows: of the matrix, and of all B of that matrix. */
  index: number;
  begin: number;
  end: number;
  first: number;
}

/** Where each adapter of a model is, worked out from the config alone. */
function blocksOf({ targetModules }: LoraConfig): Block[] {
  const { numAttentionHeads: h, numKeyValueHeads: k, headDim: d, hiddenSize: c, intermediateSize: f } = smallConfig;
  const fused: [string, [string, number][]][] = [
    ["self_attn.qkv_proj", [["q_proj", h * d], ["k_proj", k * d], ["v_proj", k * d]]],
    ["self_attn.o_proj", [["o_proj", c]]], ["mlp.gate_up_proj", [["gate_proj", f], ["up_proj", f]]],
    ["mlp.down_proj", [["down_proj", c]]],
  ];
  const blocks: Block[] = [];
  for (let layer = 0; layer < smallConfig.numHiddenLayers; layer++) {
    for (const [name, parts] of fused) {
      let [begin, first, index] = [0, 0, 0];
      for (const [part, rows] of parts) {
        if (targetModules.includes(part)) {
          blocks.push({ matrix: `model.layers.${layer}.${name}`, index: index++, begin, end: begin + rows, first });
          first += rows;
        }
        begin += rows;
      }
    }
  }
  return blocks;
}

const adapterOf = (model: NativeModel, { matrix: name, index, begin, end, first }: Block, r: number) => {
  const [, inputs] = shapeOf(model, `${name}.lora_A.weight`);
  return {
    a: matrix(view(model, `${name}.lora_A.weight`), [r, inputs], index * r),
    b: matrix(view(model, `${name}.lora_B.weight`), [end - begin, r], first),
  };
};

/** A model without adapters whose weights are W + scale B A, in float32 on the CPU. */
async function mergedByHand(model: NativeModel, config: LoraConfig): Promise<NativeModel> {
  const merged = await make("cpu", { lora: null });
  for (const block of blocksOf(config)) {
    const { a, b } = adapterOf(model, block, config.r);
    const change = product(b, a, config.scale);
    const weight = view(merged, `${block.matrix}.weight`);
    change.forEach((value, i) => { weight[block.begin * a.columns + i]! += value; });
  }
  merged.sync();
  return merged;
}

type StepOf = (trainer: TestTrainer) => Promise<number>;
const steps: Record<string, StepOf> = {
  sft: async (trainer) => (await trainer.native.sftStep(fillExamples(trainer))).loss,
  dpo: async (trainer) => {
    trainer.referenceLogps.set([-3, -4, -5, -2]);
    return (await trainer.native.dpoStep(trainer.fillPairs(pairs), dpo({ pairWeight: 0.5, nllWeight: 0.1 }))).loss;
  },
};

for (const name of lacking) test.skip(`${name} is not in this build`, () => undefined);

describe.each(devices)("%s", (device) => {
  // cuBLASLt may compute a layer alone in another order than it, or wgmma, computes one with an adapter.
  const isAddedOtherwise = device === "cuda" || (device === "cuda-sim" && Boolean(process.env.SELFREFINE_CUBLASLT));
  test(`an adapter that is not trained changes no score${isAddedOtherwise ? "" : ", bit for bit"}`, async () => {
    for (const [dtype, limit] of [["float32", float32Limit], ["bfloat16", 2 ** -6]] as const) {
      const [plain, adapted] = [await make(device, { dtype, lora: null }), await make(device, { dtype })];
      const [got, wanted] = [await scoresOf(adapted), await scoresOf(plain)];
      if (isAddedOtherwise) expect(relativeError(got, wanted)).toBeLessThan(limit);
      else expect(got).toEqual(wanted);
      [plain, adapted].forEach((model) => model.dispose());
    }
  });

  test("an adapter that is not trained changes no sample, bit for bit", async () => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      const [plain, adapted] = [await make(device, { dtype, lora: null }), await make(device, { dtype })];
      const prompts = [{ tokens: [1, 5, 9], samples: 3 }, { tokens: [1] }];
      expect(await generate(adapted, prompts)).toEqual(await generate(plain, prompts));
      [plain, adapted].forEach((model) => model.dispose());
    }
  });

  test("A is drawn as PEFT draws it, from the seed alone; B is 0", async () => {
    const [one, same, other] = [await make(device), await make(device), await make(device)];
    await other.initializeAdapter(12);
    for (const { name, shape } of one.adapterParameters()) {
      const values = [...view(one, name)];
      expect([...view(same, name)]).toEqual(values);
      if (name.endsWith("lora_B.weight")) {
        expect(values.every((value) => value === 0)).toBe(true);
        continue;
      }
      expect([...view(other, name)]).not.toEqual(values);
      const bound = 1 / Math.sqrt(shape[1]!);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
      const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      expect(variance / (bound * bound / 3)).toBeGreaterThan(0.6);
      expect(variance / (bound * bound / 3)).toBeLessThan(1.5);
    }
    [one, same, other].forEach((model) => model.dispose());
  });

  const subsets = [all, ["q_proj", "v_proj"], ["o_proj"], ["up_proj"], ["down_proj"], ["k_proj", "gate_proj"]];
  describe.each(subsets.map((targetModules) => [targetModules.join(" "), targetModules] as const))("on %s", (_, targetModules) => {
    const config = { ...lora, targetModules: [...targetModules] };

    test.each(Object.entries(steps))("%s: loss, scores and gradients are those of the merged weights", async (_name, step) => {
      const model = await make(device, { lora: config, trained: true });
      const merged = await mergedByHand(model, config);
      expect(relativeError(await scoresOf(model), await scoresOf(merged))).toBeLessThan(float32Limit);
      const [trainer, full] = [new TestTrainer(model, room), new TestTrainer(merged, room)];
      expect(relativeError([await step(trainer)], [await step(full)])).toBeLessThan(float32Limit);
      for (const block of blocksOf(config)) {
        const { a, b } = adapterOf(model, block, config.r);
        const dweight = matrix(full.gradient(`${block.matrix}.weight`), [block.end - block.begin, a.columns], block.begin);
        const da = trainer.gradient(`${block.matrix}.lora_A.weight`);
        const db = trainer.gradient(`${block.matrix}.lora_B.weight`);
        const [ofA, ofB] = [config.r * a.columns, (block.end - block.begin) * config.r];
        const gotA = da.subarray(block.index * ofA, (block.index + 1) * ofA);
        const gotB = db.subarray(block.first * config.r, block.first * config.r + ofB);
        expect(relativeError(gotA, product(transposed(b), dweight, config.scale))).toBeLessThan(float32Limit);
        expect(relativeError(gotB, product(dweight, transposed(a), config.scale))).toBeLessThan(float32Limit);
      }
      expect(() => trainer.gradient("model.norm.weight")).toThrow(/no parameter/);
      [trainer, full, model, merged].forEach((one) => one.dispose());
    });
  });

  test("training moves the adapter, lowers the loss and leaves every weight as it is", async () => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      const model = await make(device, { dtype });
      const weights = () => model.parameters().map(({ name }) => [...view(model, name)]);
      const before = weights();
      const trainer = new TestTrainer(model, room);
      const losses: number[] = [];
      for (let step = 1; step <= 6; step++) {
        losses.push(await steps["sft"]!(trainer));
        await trainer.native.update(adamW(step, 3e-2));
      }
      expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);
      expect(weights()).toEqual(before);
      expect(model.adapterParameters().every(({ name }) => view(model, name).some((value) => value !== 0))).toBe(true);
      expect(model.memory().some(({ arena }) => arena === "masters")).toBe(false);
      trainer.dispose();
      model.dispose();
    }
  });

  test("merge gives the same scores and samples, then ends the training", async () => {
    const model = await make(device, { trained: true });
    const byHand = await mergedByHand(model, lora);
    const before = await scoresOf(model);
    const trainer = new TestTrainer(model, room);
    await model.merge();
    expect(relativeError(await scoresOf(model), before)).toBeLessThan(float32Limit);
    for (const { name } of byHand.parameters()) {
      expect(relativeError(view(model, name), view(byHand, name))).toBeLessThan(2 ** -22);
    }
    expect((await generate(model, [{ tokens: [1, 5] }], { temperature: 0 }))[0]!.tokens)
      .toEqual((await generate(byHand, [{ tokens: [1, 5] }], { temperature: 0 }))[0]!.tokens);
    await expect(steps["sft"]!(trainer)).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message: /merged/ });
    await expect(model.merge()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
    [trainer, model, byHand].forEach((one) => one.dispose());
  });

  test("merging bfloat16 weights rounds the float32 sum once", async () => {
    const exact = await make(device, { trained: true });
    const narrow = await make(device, { dtype: "bfloat16", trained: true });
    const wanted = blocksOf(lora).map((block) => {
      const { a, b } = adapterOf(narrow, block, lora.r);
      const change = product(b, a, lora.scale);
      const from = block.begin * a.columns;
      const weight = view(narrow, `${block.matrix}.weight`).slice(from, from + change.length);
      return { name: `${block.matrix}.weight`, from, sums: change.map((value, i) => weight[i]! + value) };
    });
    await narrow.merge();
    for (const { name, from, sums } of wanted) {
      const got = view(narrow, name).slice(from, from + sums.length);
      // Half a unit in the last of 8 significant bits, and what float32 may differ by before.
      const most = Math.max(...sums.map((sum, i) => Math.abs(got[i]! - sum) / Math.max(Math.abs(sum), 2 ** -10)));
      expect(most).toBeLessThanOrEqual(2 ** -8 * 1.001);
    }
    [exact, narrow].forEach((one) => one.dispose());
  });

  test("switched off it is the base; on again it is what it was", async () => {
    const [plain, model] = [await make(device, { lora: null }), await make(device, { trained: true })];
    const before = await scoresOf(model);
    const trainer = new TestTrainer(model, room);
    model.useAdapter(false);
    expect(await scoresOf(model)).toEqual(await scoresOf(plain));
    const prompt = [{ tokens: [1, 5, 9], samples: 2 }];
    expect(await generate(model, prompt)).toEqual(await generate(plain, prompt));
    await expect(steps["sft"]!(trainer)).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message: /switched off/ });
    model.useAdapter(true);
    expect(await scoresOf(model)).toEqual(before);
    expect(() => plain.useAdapter(false)).toThrow(/no adapter/);
    [trainer, plain, model].forEach((one) => one.dispose());
  });

  test("a sampler that is kept draws with the adapter as it stands", async () => {
    const [plain, model] = [await make(device, { lora: null }), await make(device, { trained: true })];
    const prompt = [{ tokens: [1, 5, 9], samples: 2 }];
    const on = await generate(model, prompt);
    const sampler = new (nativeAddon().Sampler)(model, capacity());
    const draw = async () => {
      sampler.begin(generation());
      sampler.submit(0, Int32Array.from(prompt[0]!.tokens), 2);
      const { finished } = await sampler.run(100);
      return finished.sort((a, b) => a.sample - b.sample).map(({ tokens }) => [...new Int32Array(tokens)]);
    };
    expect(await draw()).toEqual(on.map(({ tokens }) => tokens));
    model.useAdapter(false);
    expect(await draw()).toEqual((await generate(plain, prompt)).map(({ tokens }) => tokens));
    [sampler, plain, model].forEach((one) => one.dispose());
  });

  test("a policy that is its reference has loss ln 2, exactly, with a trained adapter too", async () => {
    const model = await make(device, { trained: true });
    const trainer = new TestTrainer(model, room);
    trainer.referenceLogps.set((await trainer.scores(trainer.fillPairs(pairs))).sequences);
    await trainer.native.dpoStep(trainer.fillPairs(pairs), dpo({ pairWeight: 0.5 }));
    expect([...trainer.pairLosses.subarray(0, 2)]).toEqual(pairs.map(() => Math.fround(Math.LN2)));
    trainer.dispose();
    model.dispose();
  });

  test("a resumed training ends bit for bit as one that was not interrupted", async () => {
    const run = async (trainer: TestTrainer, first: number, last: number) => {
      for (let step = first; step <= last; step++) {
        await steps["sft"]!(trainer);
        await trainer.native.update(adamW(step, 1e-2));
      }
    };
    const whole = await make(device, { dtype: "bfloat16" });
    const one = new TestTrainer(whole, room);
    await run(one, 1, 2);
    const path = join(folder, `${device}.state`);
    await one.native.writeState(path, new Uint8Array(64));
    await run(one, 3, 4);
    const resumed = await make(device, { dtype: "bfloat16" });
    const two = new TestTrainer(resumed, room);
    await two.native.readState(path, 64);
    await run(two, 3, 4);
    expect(await resumed.fingerprint()).toBe(await whole.fingerprint());
    expect(one.native.stateArenas()).toEqual({ dtype: "float32", elements: expect.any(Number) });
    [one, two, whole, resumed].forEach((object) => object.dispose());
  });

  test("a copy has weights and adapters; one of another kind is refused", async () => {
    const [model, copy] = [await make(device, { trained: true }), await make(device)];
    const plain = await make(device, { lora: null });
    await copy.copyFrom(model);
    expect(await copy.fingerprint()).toBe(await model.fingerprint());
    expect(await scoresOf(copy)).toEqual(await scoresOf(model));
    await expect(plain.copyFrom(model)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: /adapters/ });
    [model, copy, plain].forEach((one) => one.dispose());
  });

  test("arenas are planned to the byte", async () => {
    const trained = { ...room, training: true };
    const training = { capacity: trained, preference: true, rowLength: 32, rows: 4 };
    const work: PlannedWork = { training, sampling: null };
    const options = { device, dtype: "bfloat16" as const, threads: device === "cpu" ? 2 : 0, masters: true, lora };
    const planned = nativeAddon().plan(smallConfig, options, work);
    const model = await make(device, { dtype: "bfloat16" });
    const trainer = new TestTrainer(model, room);
    const exact = [...model.memory(), ...trainer.native.memory()].filter(({ arena }) => arena !== "work areas");
    expect(planned.filter(({ arena }) => arena !== "work areas")).toEqual(exact);
    trainer.dispose();
    model.dispose();
  });
});

describe("bad adapters", () => {
  const made = (config: LoraConfig) => () => makeModel(smallConfig, "cpu", { lora: config });

  test.each<[string, LoraConfig, RegExp]>([
    ["r 0", { ...lora, r: 0 }, /lora\.r is 0/], ["a huge r", { ...lora, r: 5000 }, /r is 5000, expected 1 to 4096/],
    ["no target", { ...lora, targetModules: [] }, /targetModules is empty/],
    ["a strange target", { ...lora, targetModules: ["lm_head"] }, /targetModules.*expected one of "q_proj"/],
    ["scale NaN", { ...lora, scale: NaN }, /scale/], ["scale 0", { ...lora, scale: 0 }, /scale is 0/],
  ])("%s is refused", (_, config, message) => {
    expect(made(config)).toThrow(message);
  });

  test("calls on a model without adapters are ERR_UNSUPPORTED", async () => {
    const model = await make("cpu", { lora: null });
    await expect(model.initializeAdapter(1)).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
    await expect(model.merge()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", message: /no adapter/ });
    expect(model.adapterParameters()).toEqual([]);
    model.dispose();
  });
});
