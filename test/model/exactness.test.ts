// What must hold exactly, or as near as the order of a sum allows: shared prompts, gradient accumulation, packing,
// the first step of DPO, and that the whole thing learns.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { nativeAddon, type NativeModel } from "../../src/native";
import { float32Limit, relativeError } from "./support/closeness";
import { devices, randomModel, smallConfig } from "./support/devices";
import { capacity, generation } from "./support/sampler";
import { adamW, dpo, TestTrainer, type Pair } from "./support/trainer";

const pairs: Pair[] = [
  { prompt: [1, 5, 9, 13, 17], chosen: [21, 25, 29, 2], rejected: [22, 26, 2] },
  { prompt: [1, 40], chosen: [41, 2], rejected: [50, 51, 52, 53, 54, 55, 2] },
  { prompt: [1, 33, 34, 35, 36, 37, 38], chosen: [8, 2], rejected: [9, 2] },
];

const examples = [
  { prompt: [1, 3, 5], completion: [7, 9, 11, 2] },
  { prompt: [1], completion: [30, 31, 32, 33, 34, 35, 2] },
  { prompt: [1, 20, 21, 22, 23, 24], completion: [25, 2] },
  { prompt: [1, 50, 51, 52], completion: [53, 54, 2] },
];
const scoredTokens = examples.reduce((sum, { completion }) => sum + completion.length, 0);

describe.each(devices)("%s", (device) => {
  let model: NativeModel;
  let trainer: TestTrainer;

  beforeAll(async () => {
    model = await randomModel(device);
    trainer = new TestTrainer(model);
  });
  afterAll(() => {
    trainer.dispose();
    model.dispose();
  });

  const gradients = (): number[][] => model.parameters().map(({ name }) => [...trainer.gradient(name)]);
  const fillExamples = (some: typeof examples) => trainer.fill((writer) =>
    some.forEach(({ prompt, completion }) => writer.example(prompt, completion, 1 / scoredTokens, false)));
  const expectNear = (got: number[][], wanted: number[][]): void =>
    got.forEach((gradient, i) => expect(relativeError(gradient, wanted[i] as number[])).toBeLessThan(float32Limit));

  test("a shared prompt scores and trains like sequences of their own", async () => {
    await trainer.native.reset();
    const shared = await trainer.scores(trainer.fillPairs(pairs));
    const sharedLoss = (await trainer.native.dpoStep(trainer.fillPairs(pairs), dpo())).loss;
    const sharedGradients = gradients();
    await trainer.native.reset();
    const alone = trainer.fill((writer) => pairs.forEach(({ prompt, chosen, rejected }) => {
      writer.example(prompt, chosen, 0, false);
      writer.example(prompt, rejected, 0, false);
    }));
    expect(relativeError((await trainer.scores(alone)).sequences, shared.sequences)).toBeLessThan(float32Limit);
    expect(relativeError([(await trainer.native.dpoStep(alone, dpo())).loss], [sharedLoss])).toBeLessThan(float32Limit);
    expectNear(gradients(), sharedGradients);
  });

  test("two micro-batches accumulate to the gradient of one batch", async () => {
    await trainer.native.reset();
    const whole = await trainer.native.sftStep(fillExamples(examples));
    const wanted = gradients();
    await trainer.native.reset();
    const first = await trainer.native.sftStep(fillExamples(examples.slice(0, 1)));
    const second = await trainer.native.sftStep(fillExamples(examples.slice(1)));
    expect(relativeError([first.loss + second.loss], [whole.loss])).toBeLessThan(float32Limit);
    expectNear(gradients(), wanted);
    // Of rows that are the same bits: sums in double differ by their order alone.
    const names = ["tokens", "entropy", "correct", "meanLogits"] as const;
    const sums = names.map((name) => first.scored[name] + second.scored[name]);
    names.forEach((name, i) => expect(sums[i]).toBeCloseTo(whole.scored[name], 12));
  });

  test("the next batch may be filled in while a step runs", async () => {
    const wanted = await trainer.native.sftStep(fillExamples(examples));
    const running = trainer.native.sftStep(fillExamples(examples));
    const { tokens, positions, targets, weights, segments, sequenceOfRow } = trainer.inputs;
    for (const array of [tokens, positions, targets, segments, sequenceOfRow]) array.fill(1 << 30);
    weights.fill(NaN);
    expect(await running).toEqual(wanted);
  });

  test("what decoding packs of the weights does not change a score by a bit", async () => {
    const { rows } = await trainer.scores(fillExamples(examples));
    const sampler = new (nativeAddon().Sampler)(model, capacity());
    sampler.begin(generation());
    sampler.submit(0, Int32Array.of(1), 1);
    await sampler.run(1);
    expect((await trainer.scores(fillExamples(examples))).rows).toEqual(rows);
    sampler.dispose();
  });

  test("a sequence scores the same, bit for bit, wherever it is packed", async () => {
    const { sequences } = await trainer.scores(fillExamples(examples));
    const reversed = await trainer.scores(fillExamples([...examples].reverse()));
    expect(reversed.sequences.reverse()).toEqual(sequences);
    for (const [i, example] of examples.entries()) {
      expect((await trainer.scores(fillExamples([example]))).sequences).toEqual([sequences[i]]);
    }
  });

  test("pairs score the same, bit for bit, wherever they are packed", async () => {
    const { sequences } = await trainer.scores(trainer.fillPairs(pairs));
    for (const [i, pair] of pairs.entries()) {
      expect((await trainer.scores(trainer.fillPairs([pair]))).sequences).toEqual(sequences.slice(2 * i, 2 * i + 2));
    }
  });

  test("a policy that is its reference has loss ln 2, exactly", async () => {
    for (const pair of pairs) {
      trainer.referenceLogps.set((await trainer.scores(trainer.fillPairs([pair]))).sequences, 2 * pairs.indexOf(pair));
    }
    const { loss } = await trainer.native.dpoStep(trainer.fillPairs(pairs), dpo({ pairWeight: 1 / pairs.length }));
    expect([...trainer.pairLosses.subarray(0, pairs.length)]).toEqual(pairs.map(() => Math.fround(Math.LN2)));
    expect(loss).toBeCloseTo(Math.LN2, 7);
    // Margins are differences of these: all are zero.
    expect([...trainer.sequenceLogps.subarray(0, 6)]).toEqual([...trainer.referenceLogps.subarray(0, 6)]);
  });

  test("pairs spread over chunks of the loss head, or longer than one, train like pairs alone", async () => {
    const roomy = await randomModel(device, {}, { ...smallConfig, maxPositionEmbeddings: 512 });
    const long = new TestTrainer(roomy, { maxTokens: 1600 });
    const answer = (length: number, step: number) => Array.from({ length }, (_, i) => 3 + ((i * step) % 50));
    const some: Pair[] = [
      { prompt: [1, 4], chosen: answer(200, 7), rejected: answer(150, 11) },
      { prompt: [1, 8], chosen: [5, 2], rejected: [6, 2] },
      { prompt: [1, 9, 3], chosen: answer(100, 3), rejected: answer(210, 5) },
      { prompt: [1, 5], chosen: answer(300, 7), rejected: answer(305, 9) }, // more rows than a chunk has
    ];
    /** Sequences [first, ...) of the list; references are off by an amount that depends on the place in it. */
    const step = async (list: Pair[], first: number): Promise<{ loss: number; gradient: Float32Array }> => {
      await long.native.reset();
      const size = long.fillPairs(list);
      const { sequences } = await long.scores(size);
      long.referenceLogps.set(sequences.map((sum, s) => sum + ((first + s) % 3)));
      const { loss } = await long.native.dpoStep(size, dpo({ beta: 0.5 }));
      return { loss, gradient: long.gradient("model.layers.0.mlp.down_proj.weight").slice() };
    };
    const longFirst = [some[3]!, some[1]!, some[0]!];
    for (const whole of [some.slice(0, 3), some, longFirst]) {
      const { loss, gradient } = await step(whole, 0);
      let sum = 0;
      const gradients = new Float64Array(gradient.length);
      for (const [i, pair] of whole.entries()) {
        const alone = await step([pair], 2 * i);
        sum += alone.loss;
        alone.gradient.forEach((value, k) => { gradients[k] = (gradients[k] as number) + value; });
      }
      expect(relativeError([loss], [sum])).toBeLessThan(float32Limit);
      expect(relativeError(gradient, gradients)).toBeLessThan(float32Limit);
    }
    long.dispose();
    roomy.dispose();
  });

  test("one batch is learnt by heart", async () => {
    const learner = await randomModel(device);
    const learning = new TestTrainer(learner);
    const size = learning.fill((writer) =>
      examples.forEach(({ prompt, completion }) => writer.example(prompt, completion, 1 / scoredTokens, false)));
    let loss = Infinity;
    for (let step = 1; step <= 120; step++) {
      ({ loss } = await learning.native.sftStep(size));
      await learning.native.update(adamW(step, 5e-3));
    }
    expect(loss).toBeLessThan(0.02);
    learning.dispose();
    learner.dispose();
  });

  test("DPO moves chosen up against rejected", async () => {
    const learner = await randomModel(device);
    const learning = new TestTrainer(learner);
    const size = learning.fillPairs(pairs);
    const before = (await learning.scores(size)).sequences;
    learning.referenceLogps.set(before);
    for (let step = 1; step <= 20; step++) {
      await learning.native.dpoStep(size, dpo({ pairWeight: 1 / pairs.length }));
      await learning.native.update(adamW(step, 2e-3));
    }
    const after = (await learning.scores(size)).sequences;
    pairs.forEach((_, i) => {
      const gain = (s: number) => (after[s] as number) - (before[s] as number);
      expect(gain(2 * i)).toBeGreaterThan(gain(2 * i + 1));
    });
    learning.dispose();
    learner.dispose();
  });
});

describe("cpu", () => {
  test("fresh weights are the same, bit for bit, with one thread and with three", async () => {
    const fresh = async (threads: number): Promise<bigint> => {
      const model = await randomModel("cpu", { threads }, { ...smallConfig, vocabSize: 1511 }); // of several pieces
      const print = await model.fingerprint();
      model.dispose();
      return print;
    };
    expect(await fresh(3)).toBe(await fresh(1));
  });

  test("training is the same, bit for bit, with one thread and with three", async () => {
    const run = async (threads: number): Promise<number[][]> => {
      const model = await randomModel("cpu", { threads });
      const trainer = new TestTrainer(model);
      for (let step = 1; step <= 3; step++) {
        await trainer.native.sftStep(trainer.fill((writer) =>
          examples.forEach(({ prompt, completion }) => writer.example(prompt, completion, 0.1, false))));
        await trainer.native.update(adamW(step, 1e-2));
      }
      const weights = model.parameters().map(({ name }) => [...new Float32Array(model.parameterView(name))]);
      trainer.dispose();
      model.dispose();
      return weights;
    };
    expect(await run(3)).toEqual(await run(1));
  });
});
