// Who owns what for how long: busy and disposed objects, views that outlive them, disposal during work, no leaks.
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { nativeAddon } from "../../src/native";
import { makeModel, randomModel, smallConfig } from "../model/support/devices";
import { capacity, generation } from "../model/support/sampler";
import { adamW, TestTrainer } from "../model/support/trainer";

const addon = nativeAddon();
const fillOne = (trainer: TestTrainer) => trainer.fill((writer) => writer.example([1, 2, 3], [4, 5, 2], 1, false));

describe("busy", () => {
  test("a model, its trainers and its samplers do one thing at a time", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model, { maxTokens: 512 });
    const sampler = new addon.Sampler(model, capacity());
    const size = trainer.fill((writer) => writer.example([1], new Array(200).fill(9), 1, false));
    const running = trainer.native.sftStep(size);
    const busy = { code: "ERR_BUSY", message: expect.stringContaining("sftStep is still running on this model") };
    await Promise.all([
      expect(trainer.native.logps(size)).rejects.toMatchObject(busy),
      expect(trainer.native.update(adamW(1, 1e-3))).rejects.toMatchObject(busy),
      expect(model.initialize(1, 1)).rejects.toMatchObject(busy),
      expect(sampler.run(1)).rejects.toMatchObject(busy),
    ]);
    const { loss } = await running;
    expect(loss).toBeGreaterThan(0);
    const again = trainer.native.logps(size);
    for (const call of [() => model.sync(), () => sampler.begin(generation()), () => sampler.end()]) {
      expect(call).toThrow(/logps is still running/);
    }
    expect(model.memory().length).toBeGreaterThan(0); // what does not touch weights still answers
    await again;
    sampler.begin(generation());
    const other = makeModel(smallConfig, "cpu"); // another model is another matter
    await Promise.all([trainer.native.logps(size), other.initialize(1, 1)]);
    for (const object of [trainer, sampler, model, other]) object.dispose();
  });

  test("an object is free again as soon as its promise has settled, rejected or not", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model);
    const wrong = trainer.native.logps({ tokens: 999, segments: 1, sequences: 0 });
    await expect(wrong).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    for (let i = 0; i < 20; i++) await trainer.native.logps(fillOne(trainer));
    trainer.dispose();
    model.dispose();
  });

  test("copyFrom holds both models", async () => {
    const big = { ...smallConfig, vocabSize: 60000, hiddenSize: 256 };
    const [from, to] = [makeModel(big, "cpu"), makeModel(big, "cpu")];
    const copying = to.copyFrom(from);
    await expect(from.initialize(1, 1)).rejects.toMatchObject({ code: "ERR_BUSY" });
    await copying;
    await from.initialize(1, 1);
    from.dispose();
    to.dispose();
  });
});

describe("disposed", () => {
  test("calls say ERR_DISPOSED, dispose may be repeated", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model);
    const sampler = new addon.Sampler(model, capacity());
    for (const object of [trainer, sampler, model, trainer, sampler, model]) object.dispose();
    const disposed = { code: "ERR_DISPOSED" };
    await expect(trainer.native.logps({ tokens: 1, segments: 1, sequences: 0 })).rejects.toMatchObject(disposed);
    await expect(sampler.run(1)).rejects.toMatchObject(disposed);
    await expect(model.initialize(1, 1)).rejects.toMatchObject(disposed);
    for (const call of [
      () => model.parameters(), () => model.memory(), () => model.parameterView("model.norm.weight"),
      () => model.sync(), () => trainer.native.buffers(), () => sampler.begin(generation()), () => sampler.memory(),
      () => new addon.Trainer(model, { maxTokens: 8, maxSegments: 1, maxSequences: 1, training: true }),
    ]) {
      expect(call).toThrow(expect.objectContaining(disposed));
    }
  });

  test("views stay valid and hold what they held", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model);
    await trainer.native.sftStep(fillOne(trainer));
    const weights = new Float32Array(model.parameterView("model.norm.weight"));
    const gradient = trainer.gradient("model.norm.weight");
    const [weightsBefore, gradientBefore] = [[...weights], [...gradient]];
    expect(model.parameterView("model.norm.weight")).toBe(weights.buffer);
    trainer.dispose();
    model.dispose();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([...weights]).toEqual(weightsBefore);
    expect([...gradient]).toEqual(gradientBefore);
    weights.fill(3);
    trainer.inputs.tokens.fill(5);
    expect(weights[31]).toBe(3);
  });

  test("during work: the work ends, its promise resolves, then the memory goes", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model);
    const size = fillOne(trainer);
    const running = trainer.native.sftStep(size);
    trainer.dispose();
    model.dispose();
    expect((await running).loss).toBeGreaterThan(0);
    await expect(trainer.native.sftStep(size)).rejects.toMatchObject({ code: "ERR_DISPOSED" });
  });

  test("trainers and samplers outlive their model", async () => {
    const model = await randomModel("cpu");
    const trainer = new TestTrainer(model);
    model.dispose();
    expect((await trainer.native.sftStep(fillOne(trainer))).loss).toBeGreaterThan(0);
    trainer.dispose();
  });
});

describe("memory", () => {
  test("200 rounds of model, trainer and sampler leave nothing behind", async () => {
    const round = async (): Promise<void> => {
      const model = makeModel({ ...smallConfig, vocabSize: 5000, hiddenSize: 128 }, "cpu");
      const trainer = new TestTrainer(model, { maxTokens: 1024 });
      const sampler = new addon.Sampler(model, capacity());
      new Float32Array(model.parameterView("model.embed_tokens.weight")).fill(0.01);
      await trainer.native.sftStep(fillOne(trainer));
      for (const object of [trainer, sampler, model]) object.dispose();
    };
    const threads = () => (existsSync("/proc/self/task") ? readdirSync("/proc/self/task").length : 0);
    for (let i = 0; i < 20; i++) await round();
    const before = { rss: process.memoryUsage().rss, threads: threads() };
    for (let i = 0; i < 200; i++) await round();
    await new Promise((resolve) => setTimeout(resolve, 20));
    // A round touches 15 MB of arenas; its one large view, 3 MB, may wait for the collector.
    expect(process.memoryUsage().rss - before.rss).toBeLessThan(200e6);
    expect(threads()).toBeLessThanOrEqual(before.threads + 1);
  });

  test("tables add up to what was asked for", async () => {
    const model = makeModel(smallConfig, "cpu", { dtype: "bfloat16" });
    const elements = model.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const bytes = Object.fromEntries(model.memory().map(({ arena, bytes }) => [arena, bytes]));
    expect(bytes["parameters"]).toBeGreaterThanOrEqual(2 * elements);
    expect(bytes["masters"]).toBeGreaterThanOrEqual(4 * elements);
    expect(bytes["masters"]).toBeLessThan(4.5 * elements);
    const trainer = new TestTrainer(model);
    expect(trainer.native.memory().map(({ arena }) => arena))
      .toEqual(["batch", "activations", "gradients", "optimizer"]);
    trainer.dispose();
    model.dispose();
  });
});
