// Everything a caller can do wrong with the addon: a coded error that names the field, and nothing is changed by it.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { nativeAddon, type BatchSize, type ModelConfig, type NativeModel, type TrainerCapacity } from "../../src/native";
import { makeModel, randomModel, smallConfig } from "../model/support/devices";
import { capacity, generation } from "../model/support/sampler";
import { adamW, dpo, TestTrainer } from "../model/support/trainer";

const addon = nativeAddon();

/** What a call throws, as [code, message]. */
function thrown(call: () => unknown): [string, string] {
  try {
    call();
  } catch (error) {
    return [(error as { code: string }).code, (error as Error).message];
  }
  return ["", "nothing was thrown"];
}

async function rejection(promise: Promise<unknown>): Promise<[string, string]> {
  const error = await promise.then(() => new Error("it resolved"), (reason: unknown) => reason);
  return [(error as { code: string }).code, (error as Error).message];
}

describe("new Model", () => {
  const wrongConfigs: [Partial<Record<keyof ModelConfig, unknown>>, RegExp][] = [
    [{ vocabSize: 0 }, /vocab_size is 0, expected an integer from 1/],
    [{ vocabSize: "61" }, /config\.vocabSize is "61", expected an integer/],
    [{ hiddenSize: 32.5 }, /config\.hiddenSize is 32\.5, expected an integer/],
    [{ headDim: 7 }, /head_dim is 7, expected an even number/],
    [{ numKeyValueHeads: 3 }, /num_attention_heads is 4, expected a multiple of num_key_value_heads \(3\)/],
    [{ rmsNormEps: 0 }, /rms_norm_eps is 0/],
    [{ ropeTheta: NaN }, /rope_theta is -?nan/],
    [{ slidingWindow: 0 }, /config\.slidingWindow is 0/],
    [{ qkNorm: 1 }, /config\.qkNorm is 1, expected true or false/],
    [{ ropeScaling: { type: "yarn", factor: 2 } }, /ropeScaling\.type is "yarn", expected one of "linear", "llama3"/],
    [{ ropeScaling: { type: "llama3", factor: 2 } }, /ropeScaling\.lowFreqFactor is undefined, expected a number/],
    [{ ropeScaling: { type: "linear", factor: 0 } }, /rope_scaling\.factor is 0/],
  ];

  test.each(wrongConfigs)("%j", (wrong, message) => {
    const [code, text] = thrown(() => makeModel({ ...smallConfig, ...wrong } as ModelConfig, "cpu"));
    expect(code).toBe("ERR_INVALID_ARGUMENT");
    expect(text).toMatch(message);
  });

  test("devices, types, missing arguments", () => {
    const options = { device: "cpu", dtype: "float32", threads: 0, masters: true } as const;
    const make = (given: object) => thrown(() => new addon.Model(smallConfig, { ...options, ...given }));
    expect(make({ device: "abacus" }))
      .toEqual(["ERR_UNSUPPORTED", expect.stringMatching(/"abacus" is not in this build/)]);
    expect(make({ dtype: "float16" })[1]).toMatch(/options\.dtype is "float16", expected one of "float32", "bfloat16"/);
    expect(make({ threads: -1 })[1]).toMatch(/options\.threads is -1, expected an integer from 0/);
    const none = undefined as unknown as ModelConfig;
    expect(thrown(() => new addon.Model(none, options))[1]).toMatch(/config is undefined, expected an object/);
    expect(thrown(() => (addon.Model as unknown as () => void)())[1]).toMatch(/Class constructors|without 'new'|new/);
  });

  test("a model that no machine can hold is ERR_OUT_OF_MEMORY", () => {
    for (const sizes of [
      { vocabSize: 2 ** 31 - 1, hiddenSize: 2 ** 20 },
      { numHiddenLayers: 4096, hiddenSize: 2 ** 20, intermediateSize: 2 ** 22, vocabSize: 2 ** 31 - 1 },
    ]) {
      const [code, message] = thrown(() => makeModel({ ...smallConfig, ...sizes }, "cpu"));
      expect([code, message]).toEqual(["ERR_OUT_OF_MEMORY", expect.stringContaining("parameters")]);
    }
  });
});

describe("with a model", () => {
  let model: NativeModel;
  let trainer: TestTrainer;

  beforeAll(async () => {
    model = await randomModel("cpu");
    trainer = new TestTrainer(model);
  });
  afterAll(() => {
    trainer.dispose();
    model.dispose();
  });

  test("capacities", () => {
    const whole: TrainerCapacity = { maxTokens: 8, maxSegments: 2, maxSequences: 2, training: true };
    const make = (given: object, of: unknown = model) =>
      thrown(() => new addon.Trainer(of as NativeModel, { ...whole, ...given }));
    expect(make({ maxTokens: 0 })[1]).toMatch(/maxTokens is 0/);
    expect(make({ maxSegments: NaN })[1]).toMatch(/capacity\.maxSegments is NaN/);
    expect(make({ training: "yes" })[1]).toMatch(/capacity\.training is "yes"/);
    expect(make({}, {})[1]).toMatch(/model is an object, expected a Model of this addon/);
    expect(make({}, trainer.native)[1]).toMatch(/expected a Model of this addon/);
    expect(make({}, Object.create(addon.Model.prototype as object))[0]).not.toBe("");
    for (const given of [{ maxTokens: 2 ** 31 - 1 }, { maxSegments: 2 ** 31 - 1, maxTokens: 2 ** 31 - 1 }]) {
      expect(make(given)).toEqual(["ERR_OUT_OF_MEMORY", expect.stringMatching(/bytes wanted, \d+ free/)]);
    }
    expect(thrown(() => new addon.Sampler(model, capacity({ cacheTokens: 2 ** 31 - 20, maxBatch: 2 ** 20 })))[0])
      .toBe("ERR_OUT_OF_MEMORY");
    expect(thrown(() => new addon.Sampler(model, capacity({ maxBatch: 0 })))[1]).toMatch(/maxBatch is 0/);
    expect(thrown(() => model.parameterView("nothing"))[1]).toMatch(/no parameter "nothing"/);
  });

  const inputs = () => trainer.inputs;
  const wrongBatches: [string, () => void, Partial<BatchSize>, RegExp][] = [
    ["no rows", () => undefined, { tokens: 0 }, /tokens is 0, expected 1 to 256, the capacity/],
    ["too many rows", () => undefined, { tokens: 257 }, /tokens is 257/],
    ["a fraction", () => undefined, { segments: 0.5 }, /size\.segments is 0\.5, expected an integer/],
    ["a token outside", () => { inputs().tokens[2] = 61; }, {}, /tokens\[2\] is 61, expected one of \[0, 61\)/],
    ["a negative token", () => { inputs().tokens[0] = -1; }, {}, /tokens\[0\] is -1/],
    ["a position outside", () => { inputs().positions[3] = 256; }, {}, /positions\[3\] is 256, expected one of/],
    ["a target outside", () => { inputs().targets[3] = -99; }, {}, /targets\[3\] is -99, expected a token in \[0, 61/],
    ["segments that overlap", () => { inputs().segments[0] = 1; }, {}, /segments\[0\] is rows \[1, 6\)/],
    ["rows without a segment", () => { inputs().segments[1] = 5; }, {}, /segments cover 5 rows, expected all 6/],
    ["a prefix that is none", () => { inputs().segments[3] = 3; }, {}, /segments\[0\] has prefix \[0, 3\)/],
    ["a sequence too many", () => { inputs().sequenceOfRow[3] = 1; }, {}, /sequenceOfRow\[3\] is 1, expected 0 to 0/],
    ["a row without sequence", () => { inputs().sequenceOfRow[3] = -1; }, {}, /sequenceOfRow\[3\] is -1/],
    ["a weight of NaN", () => { inputs().weights[3] = NaN; }, {}, /weights\[3\] is -?nan, expected a finite number/],
  ];

  test.each(wrongBatches)("a batch with %s is refused and leaves gradients alone", async (_, spoil, size, message) => {
    await trainer.native.reset();
    const good = trainer.fill((writer) => writer.example([1, 2, 3], [4, 5, 6, 2], 1, false));
    spoil();
    const [code, text] = await rejection(trainer.native.sftStep({ ...good, ...size }));
    expect(code).toBe("ERR_INVALID_ARGUMENT");
    expect(text).toMatch(message);
    expect(trainer.gradient("model.norm.weight").every((value) => value === 0)).toBe(true);
  });

  test("pairs", async () => {
    const pair = { prompt: [1, 2], chosen: [3, 2], rejected: [4, 2] };
    const size = trainer.fillPairs([pair]);
    const step = async (options = dpo(), of: BatchSize = size) =>
      (await rejection(trainer.native.dpoStep(of, options)))[1];
    expect(await step(dpo(), { ...size, sequences: 3 })).toMatch(/sequences is 3, expected an even/);
    expect(await step(dpo({ beta: 0 }))).toMatch(/beta/);
    expect(await step(dpo({ loss: "kto" as "ipo" }))).toMatch(/options\.loss is "kto"/);
    expect(await step(dpo({ loss: "ipo", labelSmoothing: 0.1 }))).toMatch(/label_smoothing/);
    trainer.inputs.sequenceOfRow.fill(1);
    expect(await step()).toMatch(/chosen answer of pair 0 has no row with a target/);
  });

  test("a trainer that only scores has no gradients", async () => {
    const scorer = new TestTrainer(model, { training: false });
    const size = scorer.fill((writer) => writer.example([1, 2], [3, 2], 1, false));
    await scorer.native.logps(size);
    expect(scorer.logps[1]).toBeLessThan(0);
    const calls = [
      () => scorer.native.sftStep(size), () => scorer.native.update(adamW(1, 1)), () => scorer.native.reset(),
    ];
    for (const call of calls) expect((await rejection(call()))[0]).toBe("ERR_UNSUPPORTED");
    expect(thrown(() => scorer.gradient("model.norm.weight"))[0]).toBe("ERR_UNSUPPORTED");
    scorer.dispose();
  });

  test("a gradient that is not finite stops the update and is dropped", async () => {
    const before = [...new Float32Array(model.parameterView("model.norm.weight"))];
    trainer.gradient("model.norm.weight")[0] = NaN;
    expect(await rejection(trainer.native.update(adamW(7, 1))))
      .toEqual(["ERR_INVALID_ARGUMENT", expect.stringMatching(/update 7: the gradient norm is -?nan/)]);
    expect([...new Float32Array(model.parameterView("model.norm.weight"))]).toEqual(before);
    expect(trainer.gradient("model.norm.weight")[0]).toBe(0);
    expect((await rejection(trainer.native.update({ ...adamW(1, 1), beta2: 1 })))[1]).toMatch(/beta2 is 1/);
    expect((await rejection(trainer.native.update(adamW(0, 1))))[1]).toMatch(/step is 0/);
    expect((await rejection(trainer.native.update(adamW(1, NaN))))[1]).toMatch(/learningRate is -?nan/);
  });

  test("a batch with nothing to score is no work", async () => {
    const size = trainer.fillSequences([{ tokens: [1, 2, 3], targets: [-100, -100, -100] }]);
    const scored = { tokens: 0, entropy: 0, correct: 0, meanLogits: 0 };
    expect(await trainer.native.sftStep(size)).toEqual({ loss: 0, scored });
    expect((await trainer.scores(size)).rows).toEqual([0, 0, 0]);
  });

  test("values that are of the wrong kind", async () => {
    const sampler = new addon.Sampler(model, capacity());
    const wrong = (value: unknown) => value as never;
    const begin = (options: object) => thrown(() => sampler.begin(wrong(options)))[1];
    expect(begin(wrong(null))).toMatch(/options is null, expected an object/);
    expect(begin(generation({ seed: -1n }))).toMatch(/seed is -1, expected an unsigned integer of 64 bits/);
    expect(begin(generation({ stopTokenIds: wrong("2") }))).toMatch(/stopTokenIds is "2", expected an array/);
    expect(begin(generation({ maxNewTokens: 0 }))).toMatch(/maxNewTokens is 0/);
    sampler.begin(generation());
    expect(thrown(() => sampler.submit(0, wrong([1, 2]), 1))[1]).toMatch(/tokens is an array, expected an Int32Array/);
    expect(thrown(() => sampler.submit(2 ** 31, Int32Array.of(1), 1))[1]).toMatch(/prompt is 2147483648/);
    expect((await rejection(sampler.run(0)))[1]).toMatch(/maxSteps is 0/);
    const bytes = new Uint8Array(3);
    expect(thrown(() => sampler.setTokenBytes(bytes, Int32Array.of(0, 3)))[1])
      .toMatch(/2 offsets, expected vocabSize \+ 1 = 62/);
    expect(thrown(() => sampler.setTokenBytes(bytes, new Int32Array(62).fill(4)))[1])
      .toMatch(/token 0 has bytes \[4, 4\) of 3/);
    sampler.dispose();
  });
});
