// Generation over the paged cache: the same numbers as the training forward, samples that do not depend on their
// company, every way to end, and a schedule that finishes whatever the cache has room for.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { nativeAddon, type Device, type NativeModel, type SamplerCapacity } from "../../src/native";
import { float32Limit, relativeError } from "./support/closeness";
import { devices, makeModel, randomModel, smallConfig } from "./support/devices";
import { capacity, drain, generate, generation, type TestPrompt } from "./support/sampler";
import { TestTrainer } from "./support/trainer";

/** Of lengths around the page size, one of a single token. */
const prompts: TestPrompt[] = [1, 2, 15, 16, 17, 18, 33, 40].map((length, number) => ({
  tokens: Array.from({ length }, (_, i) => 3 + ((i * 7 + number * 11) % 57)),
  number: 100 + number,
  samples: 1 + (number % 3),
}));

/** Token i of the vocabulary is the i-th of these letters, two for the odd ones. */
const letters = Array.from({ length: smallConfig.vocabSize }, (_, i) =>
  String.fromCharCode(97 + (i % 26)).repeat(1 + (i % 2)));

function tokenBytes(): { bytes: Uint8Array; offsets: Int32Array } {
  const offsets = Int32Array.from([0, ...letters.map((_, i) => letters.slice(0, i + 1).join("").length)]);
  return { bytes: new TextEncoder().encode(letters.join("")), offsets };
}

describe.each(devices)("%s", (device: Device) => {
  let model: NativeModel;

  beforeAll(async () => {
    model = await randomModel(device);
  });
  afterAll(() => model.dispose());

  /** How far log-probs of drawn tokens are from those of the training forward. */
  async function distanceFromTraining(sampled: NativeModel): Promise<number> {
    const trainer = new TestTrainer(sampled, { maxTokens: 1024 });
    const samples = await generate(sampled, prompts);
    const size = trainer.fill((writer) => samples.forEach(({ prompt, tokens }) =>
      writer.example([...(prompts[prompt - 100] as TestPrompt).tokens], tokens, 0, false)));
    const { rows } = await trainer.scores(size);
    trainer.dispose();
    return relativeError(samples.flatMap(({ logps }) => logps), rows.filter((logp) => logp !== 0));
  }

  test.each([["all keys", null], ["a window of 6", 6]])(
    "log-probs of drawn tokens are those of the training forward: %s", async (_, slidingWindow) => {
      const windowed = await randomModel(device, {}, { ...smallConfig, slidingWindow });
      expect(await distanceFromTraining(windowed)).toBeLessThan(float32Limit);
      windowed.dispose();
    });

  test("samples do not depend on batch, cache, prefill, looks or order of submission, bit for bit", async () => {
    const together = await generate(model, prompts);
    expect(together.map(({ prompt, sample }) => [prompt, sample])).toEqual(
      prompts.flatMap(({ number, samples }) => Array.from({ length: samples as number }, (_, k) => [number, k])));
    const rooms: Partial<SamplerCapacity>[] = [
      { maxBatch: 1 }, { maxBatch: 3, maxPrefillTokens: 39 }, { maxBatch: 64 }, { cacheTokens: 16 * 5 },
      { cacheTokens: 16 * 9 }, { stepsPerLook: 1 }, { stepsPerLook: 3, maxBatch: 5 }, { stepsPerLook: 8 },
    ];
    for (const room of rooms) expect([room, await generate(model, prompts, {}, room)]).toEqual([room, together]);
    expect(await generate(model, [...prompts].reverse())).toEqual(together);
    const alone = await generate(model, [prompts[5] as TestPrompt]);
    expect(alone).toEqual(together.filter(({ prompt }) => prompt === 105));
  });

  test("samples of a prompt differ from each other and between seeds, and repeat for the same seed", async () => {
    const many = [{ tokens: [1, 2, 3], samples: 6 }];
    const samples = await generate(model, many);
    expect(new Set(samples.map(({ tokens }) => tokens.join())).size).toBe(6);
    expect(await generate(model, many)).toEqual(samples);
    expect(await generate(model, many, { seed: 6n })).not.toEqual(samples);
    expect(await generate(model, many, { seed: 2n ** 64n - 1n })).not.toEqual(samples);
  });

  test("top_k of 1 and a tiny top_p are greedy", async () => {
    const greedy = (await generate(model, prompts, { temperature: 0 })).map(({ tokens }) => tokens);
    for (const options of [{ topK: 1 }, { topP: 1e-6 }, { minP: 0.999999 }]) {
      expect((await generate(model, prompts, options)).map(({ tokens }) => tokens)).toEqual(greedy);
    }
  });

  test("stop tokens end a sample and are its last token", async () => {
    const free = await generate(model, prompts, { maxNewTokens: 20 });
    const stop = (free[0] as { tokens: number[] }).tokens[4] as number;
    const stopped = await generate(model, prompts, { maxNewTokens: 20, stopTokenIds: [stop] });
    stopped.forEach(({ tokens, logps, finishReason }, i) => {
      const { tokens: all, logps: allLogps } = free[i] as { tokens: number[]; logps: number[] };
      const end = all.includes(stop) ? all.indexOf(stop) + 1 : all.length;
      expect(tokens).toEqual(all.slice(0, end));
      expect(logps).toEqual(allLogps.slice(0, end));
      expect(finishReason).toBe(all.includes(stop) ? "stop" : "length");
    });
    expect(stopped[0]?.finishReason).toBe("stop");
  });

  test("samples end at the same token however rarely the host looks", async () => {
    const unused = Array.from({ length: 40 }, () => 60); // more than a row looks for by itself
    for (const stopTokenIds of [[], [7, 11, 20], [...unused, 7, 11, 20]]) {
      const run = (stepsPerLook: number) =>
        generate(model, prompts, { maxNewTokens: 20, stopTokenIds }, { maxBatch: 4, stepsPerLook });
      const looking = await run(1);
      expect(new Set(looking.map(({ tokens }) => tokens.length)).size > 3).toBe(stopTokenIds.length > 0);
      for (const steps of [2, 5, 8, 20]) expect(await run(steps)).toEqual(looking);
    }
  });

  test.each([1, 6])("stop strings are found across tokens, with a look each %i steps", async (stepsPerLook) => {
    const free = await generate(model, prompts, { maxNewTokens: 20 });
    const text = (tokens: number[]) => tokens.map((token) => letters[token]).join("");
    const stopAt = text((free[1] as { tokens: number[] }).tokens).slice(5, 8);
    const sampler = new (nativeAddon().Sampler)(model, capacity({ stepsPerLook }));
    const { bytes, offsets } = tokenBytes();
    sampler.setTokenBytes(bytes, offsets);
    const stopStrings = ["#never#", stopAt].map((string) => new TextEncoder().encode(string));
    sampler.begin(generation({ maxNewTokens: 20, stopStrings }));
    prompts.forEach(({ tokens, number, samples }) =>
      sampler.submit(number as number, Int32Array.from(tokens), samples as number));
    const stopped = await drain(sampler);
    sampler.dispose();
    stopped.forEach(({ tokens, finishReason }, i) => {
      const all = (free[i] as { tokens: number[] }).tokens;
      const end = all.findIndex((_, k) => text(all.slice(0, k + 1)).includes(stopAt));
      expect(tokens).toEqual(end < 0 ? all : all.slice(0, end + 1));
      expect(finishReason).toBe(end < 0 ? "length" : "stop");
    });
    expect(stopped[1]?.finishReason).toBe("stop");
  });

  test("prompts may come while others are being decoded", async () => {
    const together = await generate(model, prompts);
    const sampler = new (nativeAddon().Sampler)(model, capacity({ maxBatch: 4 }));
    sampler.begin(generation());
    const finished = [];
    for (const { tokens, number, samples } of prompts) {
      sampler.submit(number as number, Int32Array.from(tokens), samples as number);
      finished.push(...(await sampler.run(2)).finished);
    }
    const rest = await drain(sampler);
    sampler.dispose();
    expect(finished.length + rest.length).toBe(together.length);
    for (const sample of rest) expect(together).toContainEqual(sample);
  });

  test("weights that change end a generation", async () => {
    const changing = await randomModel(device);
    const sampler = new (nativeAddon().Sampler)(changing, capacity());
    sampler.begin(generation({ temperature: 0 }));
    sampler.submit(0, Int32Array.of(1, 2), 1);
    await sampler.run(2);
    await changing.initialize(8, 0.25);
    await expect(sampler.run(2)).rejects.toThrow(/the weights changed since begin/);
    sampler.begin(generation({ temperature: 0 }));
    sampler.submit(0, Int32Array.of(1, 2), 1);
    const [again] = await drain(sampler);
    sampler.dispose();
    expect([again]).toEqual(await generate(changing, [{ tokens: [1, 2] }], { temperature: 0 }));
    changing.dispose();
  });

  test("what can never be served is refused", async () => {
    const small = capacity({ maxLength: 32, maxPrefillTokens: 10, cacheTokens: 16 });
    const sampler = new (nativeAddon().Sampler)(model, small);
    const submit = (tokens: number[], samples = 1) => () => sampler.submit(3, Int32Array.from(tokens), samples);
    expect(submit([1])).toThrow(/call begin first/);
    sampler.begin(generation({ maxNewTokens: 6 }));
    expect(submit([])).toThrow(/prompt 3 has no tokens/);
    expect(submit([1, 61])).toThrow(/token 1 of prompt 3 is 61, expected 0 to 60/);
    expect(submit([1], 0)).toThrow(/samples is 0/);
    expect(submit(new Array(12).fill(4))).toThrow(/more than maxPrefillTokens \(10\)/);
    expect(submit(new Array(27).fill(4))).toThrow(/more than maxLength \(32\)/);
    expect(submit(new Array(11).fill(4), 2)).toThrow(/needs 32 positions of cache for one sample, the cache holds 16/);
    expect(submit(new Array(11).fill(4), 1)).not.toThrow();
    expect(() => sampler.begin(generation({ stopStrings: [new Uint8Array([65])] }))).toThrow(/setTokenBytes/);
    expect(() => sampler.begin(generation({ stopTokenIds: [99] }))).toThrow(/stopTokenIds: 99 is not a token/);
    expect(() => sampler.begin(generation({ topP: 0 }))).toThrow(/topP is 0, expected more than 0/);
    sampler.dispose();
    expect(() => new (nativeAddon().Sampler)(model, capacity({ maxLength: 257 })))
      .toThrow(/maxLength is 257, expected an integer from 1 to 256/);
  });

  test("bfloat16 generates what its own training forward scores", async () => {
    const narrow = await randomModel(device, { dtype: "bfloat16" });
    expect(await distanceFromTraining(narrow)).toBeLessThan(0.03);
    narrow.dispose();
  });
});

describe("cpu", () => {
  test("samples do not depend on the number of threads, bit for bit", async () => {
    const run = async (threads: number) => {
      const model = makeModel(smallConfig, "cpu", { threads });
      await model.initialize(7, 0.25);
      const samples = await generate(model, prompts);
      model.dispose();
      return samples;
    };
    expect(await run(3)).toEqual(await run(1));
  });
});
