// The engine where weights, gradients and caches lie on a GPU, or in the memory of the simulated one, which host code
// cannot touch: the same weights as on the CPU, training and sampling near to it, and states that move between the two.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { readLlama2c } from "../../src/checkpoint/llama2c";
import {
  nativeAddon, type Device, type DType, type NativeModel, type SamplerCapacity,
} from "../../src/native";
import { loadTokenizer } from "../../src/text/convert";
import { sharedPath, testWith } from "../data/shared";
import { relativeError } from "./support/closeness";
import { makeModel, smallConfig } from "./support/devices";
import { generate } from "./support/sampler";
import { adamW, dpo, TestTrainer, type Pair } from "./support/trainer";

const known = nativeAddon().devices();
const gpus: readonly Device[] = ["cuda-sim", "cuda"];

const folder = mkdtempSync(join(tmpdir(), "selfrefine-gpu-"));
afterAll(() => rmSync(folder, { recursive: true }));

const examples = [
  { prompt: [1, 3, 5], completion: [7, 9, 11, 2] },
  { prompt: [1], completion: [30, 31, 32, 33, 34, 2] },
];
const pairs: Pair[] = [
  { prompt: [1, 5, 9], chosen: [21, 25, 2], rejected: [22, 2] },
  { prompt: [1, 40], chosen: [41, 2], rejected: [50, 51, 2] },
];

/**
 * Losses of a few updates. Each rounds sums in an order of its own, 2^-24 of their size; AdamW divides gradients by
 * their own size, so that those near zero take up rounding whole: a few steps of learning rate 1e-2 carry some 1e-5.
 */
const lossLimit = 1e-4;
const logpLimit = 2e-5;

const makeOn = (device: Device, dtype: DType = "float32", masters = true): NativeModel =>
  makeModel(smallConfig, device, { dtype, threads: device === "cpu" ? 2 : 0, masters });

async function randomOn(device: Device, dtype: DType = "float32", masters = true): Promise<NativeModel> {
  const model = makeOn(device, dtype, masters);
  await model.initialize(7, 0.25);
  return model;
}

const weightsOf = (model: NativeModel): number[][] =>
  model.parameters().map(({ name }) => [...new Float32Array(model.parameterView(name))]);

const room = { maxTokens: 64, maxSegments: 8, maxSequences: 8 };
const fillExamples = (trainer: TestTrainer) => trainer.fill((writer) =>
  examples.forEach(({ prompt, completion }) => writer.example(prompt, completion, 0.1, false)));

/** Losses of the steps from `first` to `last`. */
async function train(trainer: TestTrainer, first: number, last: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = first; step <= last; step++) {
    losses.push((await trainer.native.sftStep(fillExamples(trainer))).loss);
    await trainer.native.update(adamW(step, 1e-2));
  }
  return losses;
}

/** A model with its trainer, thrown away afterwards. */
async function using<T>(device: Device, work: (trainer: TestTrainer, model: NativeModel) => Promise<T>): Promise<T> {
  const model = await randomOn(device);
  const trainer = new TestTrainer(model, room);
  try {
    return await work(trainer, model);
  } finally {
    trainer.dispose();
    model.dispose();
  }
}

describe.each(gpus)("%s", (device) => {
  const found = known.find(({ name }) => name === device);
  if (!found?.usable) {
    test.skip(`${device} cannot be used here: ${found?.description ?? "it is not in this build"}`, () => undefined);
    return;
  }

  const kinds = [["float32", true], ["bfloat16", true], ["bfloat16", false]] as const;
  test.each(kinds)("fresh %s weights, masters %s, are the CPU's, bit for bit", async (dtype, masters) => {
    const [mine, cpu] = [await randomOn(device, dtype, masters), await randomOn("cpu", dtype, masters)];
    const wanted = weightsOf(cpu);
    expect(weightsOf(mine)).toEqual(wanted);
    for (const [to, from] of [[device, cpu], ["cpu", mine], [device, mine]] as const) {
      const copy = makeOn(to, dtype, masters);
      await copy.copyFrom(from);
      expect(weightsOf(copy)).toEqual(wanted);
      copy.dispose();
    }
    mine.dispose();
    cpu.dispose();
  });

  test("views show the weights as they are, and sync takes over what was written", async () => {
    const model = await randomOn(device);
    const norm = () => new Float32Array(model.parameterView("model.norm.weight"));
    expect([...norm()]).toEqual(Array(32).fill(1));
    norm().fill(3);
    model.sync();
    expect([...norm()]).toEqual(Array(32).fill(3));
    await model.initialize(7, 0.25);
    model.sync(); // nothing was written since: an old view must not undo the weights
    expect([...norm()]).toEqual(Array(32).fill(1));
    model.dispose();
  });

  test("scores are near the CPU's", async () => {
    const scores = (on: Device) => using(on, (trainer) => trainer.scores(fillExamples(trainer)));
    const [mine, cpu] = [await scores(device), await scores("cpu")];
    expect(relativeError(mine.rows, cpu.rows)).toBeLessThan(logpLimit);
    expect(relativeError(mine.sequences, cpu.sequences)).toBeLessThan(logpLimit);
  });

  test("SFT's losses stay near the CPU's, and repeat bit for bit", async () => {
    const losses = (on: Device) => using(on, (trainer) => train(trainer, 1, 4));
    const mine = await losses(device);
    expect(relativeError(mine, await losses("cpu"))).toBeLessThan(lossLimit);
    expect(mine[3]).toBeLessThan(mine[0] as number);
    expect(await losses(device)).toEqual(mine);
  });

  test("DPO begins at ln 2, exactly, and its gradient is the CPU's", async () => {
    const step = (on: Device) => using(on, async (trainer) => {
      trainer.referenceLogps.set((await trainer.scores(trainer.fillPairs(pairs))).sequences);
      const size = trainer.fillPairs(pairs);
      const { loss } = await trainer.native.dpoStep(size, dpo({ pairWeight: 1 / pairs.length }));
      const gradient = [...trainer.gradient("model.layers.0.mlp.down_proj.weight")];
      return { loss, pairLosses: [...trainer.pairLosses.subarray(0, pairs.length)], gradient };
    });
    const mine = await step(device);
    expect(mine.pairLosses).toEqual(pairs.map(() => Math.fround(Math.LN2)));
    expect(mine.loss).toBeCloseTo(Math.LN2, 7);
    expect(relativeError(mine.gradient, (await step("cpu")).gradient)).toBeLessThan(lossLimit);
  });

  const stepped = ["model.embed_tokens.weight", "model.layers.0.self_attn.qkv_proj.weight", "model.norm.weight"];
  const gradients = (trainer: TestTrainer) => stepped.map((name) => [...trainer.gradient(name)]);
  const others = [...examples, { prompt: [8, 13], completion: [50, 49, 48, 47, 46, 45, 44, 43, 2] }].reverse();
  const otherPairs: Pair[] = [{ prompt: [1, 33, 9, 4], chosen: [60, 59, 58, 57, 2], rejected: [2] }, pairs[1]!];
  const accumulations: Record<string, (trainer: TestTrainer) => (() => Promise<{ loss: number }>)[]> = {
    SFT: (trainer) => [examples, others, examples.slice(1)].map((batch, number) => () => trainer.native.sftStep(
      trainer.fill((writer) => batch.forEach(({ prompt, completion }) =>
        writer.example(prompt, completion, 0.1 * (number + 1), false))))),
    DPO: (trainer) => [pairs, otherPairs, pairs.slice(0, 1)].map((batch, number) => () => {
      trainer.referenceLogps.forEach((_, s) => (trainer.referenceLogps[s] = -3 - ((5 * s + 7 * number) % 4)));
      return trainer.native.dpoStep(trainer.fillPairs(batch), dpo({ pairWeight: 0.2, nllWeight: 0.01 }));
    }),
  };
  describe.each(Object.entries(accumulations))("%s, batch after batch", (_, stepsOf) => {
    const accumulate = (wait: boolean) => using(device, async (trainer) => {
      const results: unknown[] = [];
      const steps = stepsOf(trainer); // twice: a work area that grows in the first round waits for all
      for (const step of [...steps, ...steps]) {
        const pending = step();
        for (const input of [...Object.values(trainer.inputs), trainer.referenceLogps]) input.fill(7); // as loops do
        results.push(await pending, [...trainer.sequenceLogps, ...trainer.pairLosses, ...trainer.logps]);
        if (wait) gradients(trainer); // copies: all that was begun is done then
      }
      return [...results, gradients(trainer)];
    });

    test("accumulates what it does when each waits for the one before, bit for bit", async () => {
      const waited = await accumulate(true);
      expect(await accumulate(false)).toEqual(waited);
    });

    test("a bad batch leaves alone what the one before still adds", async () => {
      const sums = (bad: boolean) => using(device, async (trainer) => {
        await stepsOf(trainer)[0]!();
        const size = fillExamples(trainer);
        trainer.inputs.tokens[size.tokens - 1] = smallConfig.vocabSize;
        if (bad) await expect(trainer.native.sftStep(size)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
        await stepsOf(trainer)[1]!();
        return gradients(trainer);
      });
      expect(await sums(true)).toEqual(await sums(false));
    });
  });

  test.each([[device, device], ["cpu", device], [device, "cpu"]] as const)(
    "a training that stopped on %s goes on, on %s", async (first, second) => {
      const path = join(folder, `${first}-${second}.state`);
      const whole = await using(first, (trainer) => train(trainer, 1, 4));
      await using(first, async (trainer) => {
        await train(trainer, 1, 2);
        await trainer.native.writeState(path, Buffer.from("head"));
      });
      const rest = await using(second, async (trainer) => {
        await trainer.native.readState(path, 4);
        return train(trainer, 3, 4);
      });
      if (first === second) expect(rest).toEqual(whole.slice(2));
      else expect(relativeError(rest, whole.slice(2))).toBeLessThan(lossLimit);
    });

  test("bfloat16 states are stepped and stored bit for bit, and go on on the cpu", async () => {
    const path = join(folder, "bfloat16.state");
    const open = async (on: Device): Promise<[NativeModel, TestTrainer]> => {
      const model = await randomOn(on, "bfloat16", false);
      return [model, new TestTrainer(model, room)];
    };
    const [model, straight] = await open(device);
    const before = await train(straight, 1, 2);
    await straight.native.writeState(path, Buffer.from("head"));
    const [sameModel, same] = await open(device);
    const [cpuModel, cpu] = await open("cpu");
    for (const trainer of [same, cpu]) await trainer.native.readState(path, 4);
    expect(weightsOf(sameModel)).toEqual(weightsOf(model));
    expect(weightsOf(cpuModel)).toEqual(weightsOf(model));
    const rest = await train(straight, 3, 4);
    expect(await train(same, 3, 4)).toEqual(rest);
    expect(weightsOf(sameModel)).toEqual(weightsOf(model));
    expect((await train(cpu, 3, 4))[0]).toBeCloseTo(rest[0]!, 2);
    expect(rest[1]).toBeLessThan(before[0]!);
    for (const object of [straight, same, cpu, model, sameModel, cpuModel]) object.dispose();
  });

  test("samples are the CPU's", async () => {
    const prompts = [{ tokens: [1, 5, 9] }, { tokens: Array.from({ length: 17 }, (_, i) => 3 + i), samples: 2 }];
    const draw = async (on: Device) => {
      const model = await randomOn(on);
      const samples = await generate(model, prompts, { maxNewTokens: 6 });
      model.dispose();
      return samples;
    };
    const [mine, cpu] = [await draw(device), await draw("cpu")];
    expect(mine.map(({ tokens }) => tokens)).toEqual(cpu.map(({ tokens }) => tokens));
    const logps = (samples: typeof mine) => samples.flatMap((sample) => sample.logps);
    expect(relativeError(logps(mine), logps(cpu))).toBeLessThan(logpLimit);
  });

  test("samples depend neither on batch nor on how often the host looks, bit for bit", async () => {
    const model = await randomOn(device);
    const prompts = [1, 17, 33, 40, 5].map((length, number) => (
      { tokens: Array.from({ length }, (_, i) => 3 + ((i * 7 + number * 11) % 57)), samples: 1 + number }));
    const options = { maxNewTokens: 20, stopTokenIds: [7, 11, 20] };
    const run = (way: Partial<SamplerCapacity>) => generate(model, prompts, options, way);
    const alone = await run({ maxBatch: 1, stepsPerLook: 1 });
    expect(new Set(alone.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(3);
    for (const way of [{}, { maxBatch: 3 }, { maxBatch: 64, stepsPerLook: 5 }, { maxBatch: 6, cacheTokens: 16 * 12 }]) {
      expect([way, await run(way)]).toEqual([way, alone]);
    }
    model.dispose();
  });

  const weights = sharedPath("stories260K", "stories260K.bin");
  const vocabulary = sharedPath("stories260K", "tok512.bin");
  testWith("stories260K tells its published story", [weights, vocabulary], async () => {
    const plan = await readLlama2c(weights);
    const model = makeModel(plan.config, device, { threads: 0 });
    for (const file of plan.files) await model.read(file.path, file.entries);
    const tokenizer = await loadTokenizer(vocabulary);
    const [story] = await generate(model, [{ tokens: [1] }], { temperature: 0, maxNewTokens: 24 },
      { maxBatch: 1, maxLength: 32, cacheTokens: 32 });
    model.dispose();
    const text = tokenizer.decodeContinuation(Int32Array.from(story?.tokens ?? [])).trimStart();
    expect("Once upon a time, there was a little girl named Lily. She loved to play outside in the park.")
      .toContain(text);
    expect(text.length).toBeGreaterThan(40);
  });
});

test("auto takes a device that can be used, and says why", () => {
  const chosen = nativeAddon().autoDevice();
  const isUsable = known.some(({ name, usable }) => name === "cuda" && usable);
  const why = isUsable ? /^auto takes the GPU: cuda/ : /^auto takes the cpu: device cuda/;
  expect(chosen).toEqual({ name: isUsable ? "cuda" : "cpu", usable: true, description: expect.stringMatching(why) });
});
