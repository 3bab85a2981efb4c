// Arguments are objects of the caller: reading one may run code, and that code may dispose of what is being called.
import { expect, test } from "@jest/globals";
import { nativeAddon, type GenerationOptions } from "../../src/native";
import { randomModel } from "../model/support/devices";
import { capacity, generation } from "../model/support/sampler";
import { TestTrainer } from "../model/support/trainer";

const addon = nativeAddon();

async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "no error";
}

test("a batch size that disposes of the trainer while it is read", async () => {
  const model = await randomModel("cpu");
  const trainer = new addon.Trainer(model, { maxTokens: 8, maxSegments: 8, maxSequences: 8, training: false });
  const size = {
    tokens: 0,
    segments: 0,
    get sequences() {
      trainer.dispose();
      return 0;
    },
  };
  expect(["ERR_DISPOSED", "ERR_INVALID_ARGUMENT"]).toContain(await codeOf(() => trainer.logps(size)));
  model.dispose();
});

test("generation options that dispose of the sampler while they are read", async () => {
  const model = await randomModel("cpu");
  const sampler = new addon.Sampler(model, capacity());
  const options: GenerationOptions = {
    ...generation(),
    get temperature() {
      sampler.dispose();
      return 1;
    },
  };
  expect(await codeOf(() => sampler.begin(options))).toBe("ERR_DISPOSED");
  model.dispose();
});

test("a batch size that starts a step while it is read does not disturb that step", async () => {
  const model = await randomModel("cpu");
  const trainer = new TestTrainer(model);
  const good = trainer.fillSequences(Array.from({ length: 8 }, () => ({
    tokens: Array.from({ length: 32 }, (_, i) => i % 7), targets: Array.from({ length: 32 }, (_, i) => i % 5),
  })));
  const alone = (await trainer.native.sftStep(good)).loss;
  let inner: Promise<{ loss: number }> | undefined;
  const size = {
    ...good,
    get sequences() {
      inner ??= trainer.native.sftStep(good);
      trainer.inputs.weights.fill(Number.NaN);
      return good.sequences;
    },
  };
  expect(await codeOf(() => trainer.native.sftStep(size))).toBe("ERR_BUSY");
  expect((await inner)?.loss).toBe(alone);
  trainer.dispose();
  model.dispose();
});
