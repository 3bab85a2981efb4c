// The model against PyTorch in double precision: every architecture of test/fixtures, every device. Logits through the
// log-prob of every token at every row, the SFT loss, every gradient, every preference loss, greedy decoding.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { ModelConfig, NativeModel, TokenSums } from "../../src/native";
import { float32Limit, logSoftmax, relativeError } from "./support/closeness";
import { devices } from "./support/devices";
import {
  checkpointGradients, loadFixture, preferenceVariants, readGolden, variants,
  type Golden, type MetricsGolden, type PreferenceGolden, type Variant,
} from "./support/fixtures";
import { generate } from "./support/sampler";
import { dpo, TestTrainer } from "./support/trainer";

/** The gradients that are not near enough. */
function gradientErrors(
  config: ModelConfig, trainer: TestTrainer, golden: Golden, prefix: string,
): Record<string, number> {
  const gradients = checkpointGradients(config, (name) => trainer.native.gradientView(name));
  const errors = [...gradients].map(([name, gradient]) => {
    const wanted = golden.arrays.get(prefix + name);
    if (!wanted) throw new Error(`the golden has no ${prefix}${name}`);
    return [name, relativeError(gradient, wanted)] as const;
  });
  return Object.fromEntries(errors.filter(([, error]) => error > float32Limit));
}

const preferenceOptions = (wanted: PreferenceGolden, pairs: number, chosenTokens: number) => dpo({
  loss: wanted.loss_type === "sigmoid_norm" ? "sigmoid" : (wanted.loss_type as "sigmoid" | "ipo" | "hinge" | "robust"),
  lengthNormalize: wanted.loss_type === "sigmoid_norm",
  beta: wanted.beta,
  labelSmoothing: wanted.label_smoothing,
  pairWeight: 1 / pairs,
  nllWeight: wanted.alpha / chosenTokens,
});

/** A mean logit is of logits of order 1 that cancel, so its error is counted in units of 1. */
function expectMetrics({ tokens, entropy, correct, meanLogits }: TokenSums, wanted: MetricsGolden): void {
  expect([tokens, correct]).toEqual([wanted.tokens, Math.round(wanted.mean_token_accuracy * wanted.tokens)]);
  expect(Math.abs(entropy / tokens - wanted.entropy)).toBeLessThan(float32Limit * wanted.entropy);
  expect(Math.abs(meanLogits / tokens - wanted.logits)).toBeLessThan(float32Limit);
}

describe.each(devices)("%s", (device) => {
  describe.each(variants)("%s", (variant: Variant) => {
    const golden = readGolden(variant);
    let model: NativeModel;
    let config: ModelConfig;
    let trainer: TestTrainer;

    beforeAll(async () => {
      ({ model, config } = await loadFixture(variant, device));
      trainer = new TestTrainer(model);
    });
    afterAll(() => {
      trainer.dispose();
      model.dispose();
    });

    test("logits of every row", async () => {
      const rows = golden.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
      const got = new Array<number>(rows * config.vocabSize);
      for (let token = 0; token < config.vocabSize; token++) {
        const asked = golden.sequences.map(({ tokens }) => ({ tokens, targets: tokens.map(() => token) }));
        const size = trainer.fillSequences(asked);
        await trainer.native.logps(size);
        for (let row = 0; row < rows; row++) got[row * config.vocabSize + token] = trainer.logps[row] as number;
      }
      const wanted = logSoftmax(golden.arrays.get("logits") as Float32Array, config.vocabSize);
      expect(relativeError(got, wanted)).toBeLessThan(float32Limit);
    });

    test("log-probs, loss and metrics of an SFT step, and every gradient", async () => {
      const size = trainer.fillSequences(golden.sequences, 1 / golden.scored_tokens);
      const { loss, scored } = await trainer.native.sftStep(size);
      expect(relativeError([loss], [golden.loss])).toBeLessThan(float32Limit);
      const logps = golden.arrays.get("logps") as Float32Array;
      expect(relativeError(trainer.logps.subarray(0, size.tokens), logps)).toBeLessThan(float32Limit);
      expect(gradientErrors(config, trainer, golden, "grad.")).toEqual({});
      expectMetrics(scored, golden.metrics);
    });

    test("greedy decoding", async () => {
      const { prompt, tokens } = golden.greedy;
      const [sample] = await generate(model, [{ tokens: prompt }], { temperature: 0, maxNewTokens: tokens.length });
      expect(sample?.tokens).toEqual(tokens);
    });

    test("what PyTorch's greedy decoding chose is all correct, what it did not is not", async () => {
      const all = [...golden.greedy.prompt, ...golden.greedy.tokens];
      const other = golden.greedy.tokens.map((token) => (token === 5 ? 6 : 5));
      for (const [chosen, correct] of [[golden.greedy.tokens, 12], [other, 0]] as const) {
        const targets = [...golden.greedy.prompt.slice(1).map(() => -100), ...chosen, -100];
        const { scored } = await trainer.native.sftStep(trainer.fillSequences([{ tokens: all, targets }], 1));
        expect(scored).toMatchObject({ tokens: 12, correct });
      }
    });

    test("bfloat16 storage stays near", async () => {
      const { model: narrow } = await loadFixture(variant, device, { dtype: "bfloat16" });
      const narrowTrainer = new TestTrainer(narrow);
      const size = narrowTrainer.fillSequences(golden.sequences, 1 / golden.scored_tokens);
      const { loss } = await narrowTrainer.native.sftStep(size);
      const gradients = checkpointGradients(config, (name) => narrowTrainer.native.gradientView(name));
      narrowTrainer.dispose();
      narrow.dispose();
      expect(relativeError([loss], [golden.loss])).toBeLessThan(0.02);
      for (const [name, gradient] of gradients) {
        const error = relativeError(gradient, golden.arrays.get(`grad.${name}`) as Float32Array);
        expect([name, error < 0.1]).toEqual([name, true]);
      }
    });
  });

  describe.each(preferenceVariants)("%s, preference losses", (variant: Variant) => {
    const golden = readGolden(variant);
    const { pairs } = golden.dpo;
    const chosenTokens = pairs.reduce((sum, { chosen }) => sum + chosen.length, 0);
    let model: NativeModel;
    let config: ModelConfig;
    let trainer: TestTrainer;

    beforeAll(async () => {
      ({ model, config } = await loadFixture(variant, device));
      trainer = new TestTrainer(model);
      trainer.referenceLogps.set(golden.dpo.reference_logps);
    });
    afterAll(() => {
      trainer.dispose();
      model.dispose();
    });

    test("sequence log-probs with a shared prompt", async () => {
      const { sequences } = await trainer.scores(trainer.fillPairs(pairs));
      expect(relativeError(sequences, golden.dpo.logps)).toBeLessThan(float32Limit);
    });

    test.each(Object.keys(golden.dpo.losses))("loss %s", async (name) => {
      const wanted = golden.dpo.losses[name] as PreferenceGolden;
      const options = preferenceOptions(wanted, pairs.length, chosenTokens);
      const { loss, chosen, rejected } = await trainer.native.dpoStep(trainer.fillPairs(pairs), options);
      expectMetrics(chosen, golden.dpo.metrics.chosen);
      expectMetrics(rejected, golden.dpo.metrics.rejected);
      // The loss is a function of differences of sums of order 50, so its error is that of the sums.
      expect(Math.abs(loss - wanted.loss)).toBeLessThan(50 * float32Limit * Math.max(1, wanted.beta));
    });

    test("every gradient of the sigmoid loss", async () => {
      await trainer.native.reset();
      const wanted = golden.dpo.losses["sigmoid"] as PreferenceGolden;
      await trainer.native.dpoStep(trainer.fillPairs(pairs), preferenceOptions(wanted, pairs.length, chosenTokens));
      expect(gradientErrors(config, trainer, golden, "dpo.sigmoid.grad.")).toEqual({});
    });
  });
});
