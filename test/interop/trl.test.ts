// Training and TRL: the same weights, rows and options give the same loss and the same metrics at every step, under the
// same names. Rows come in our order there, so that steps of part of the data are compared, not only whole epochs.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Model, Tokenizer, dpo, sft, trainBpe, type DpoOptions, type DpoStepEvent, type SftOptions, type SftStepEvent } from "../../src";
import { epochOrder } from "../../src/data/order";
import { describeWith } from "./python";

type Log = Record<string, number>;

const numbers = ["one", "two", "three", "four", "five", "six", "seven"];
const word = (i: number) => numbers[i % numbers.length]!;
const rows = Array.from({ length: 12 }, (_, i) => ({
  prompt: `${word(i)} and ${word(i * 3 + 1)} ${"or so ".repeat(i % 3)}make`,
  completion: ` ${Array.from({ length: 1 + (i % 5) }, (_unused, k) => word(i + k)).join(" then ")}.`,
}));
const pairs = rows.map(({ prompt, completion }, i) => ({
  prompt, chosen: completion, rejected: ` ${word(i + 4)} ${"no ".repeat(1 + (i % 4))}.`,
}));

const made = trainBpe(rows.map(({ prompt, completion }) => prompt + completion), { vocabSize: 300 });
const tokenizer = Tokenizer.fromJson(made.tokenizer, { ...made.tokenizerConfig, pad_token: "</s>" });
const config = {
  model_type: "qwen2", vocab_size: tokenizer.vocabSize, hidden_size: 32, intermediate_size: 48,
  num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5,
  rope_theta: 10000, tie_word_embeddings: true, max_position_embeddings: 96,
};

const root = mkdtempSync(join(tmpdir(), "selfrefine-trl-"));
const directory = join(root, "model");
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Options that both sides have under one name, and those that TRL has under another. */
const common = {
  learning_rate: 2e-3, lr_scheduler_type: "cosine", weight_decay: 0.1, max_grad_norm: 0.5, adam_beta2: 0.99, seed: 5,
} as const;
const BATCH = 4;
const EPOCHS = 2;
const there = { ...common, per_device_train_batch_size: BATCH, num_train_epochs: 1 };
const here = { ...common, batch_size: BATCH, num_train_epochs: EPOCHS, warmup_ratio: 0 };

/** The rows as our epochs take them, one after the other. */
function inOurOrder<T>(all: readonly T[]): T[] {
  return Array.from({ length: EPOCHS }, (_, epoch) => [...epochOrder(all.length, common.seed, epoch)])
    .flat().map((index) => all[index]!);
}

async function steps<T extends { type: string }>(events: AsyncIterable<T>): Promise<Log[]> {
  const all: Log[] = [];
  for await (const event of events) if (event.type === "step") all.push(event as unknown as Log);
  return all;
}

async function trainHere(options: Partial<SftOptions>): Promise<Log[]>;
async function trainHere(options: Partial<DpoOptions>, pairs: true): Promise<Log[]>;
async function trainHere(options: object, isDpo = false): Promise<Log[]> {
  const model = await Model.load(directory, { device: "cpu", threads: 1 });
  try {
    return await steps<{ type: string }>(isDpo ? dpo(model, pairs, { ...here, ...options })
      : sft(model, rows, { ...here, ...options }));
  } finally {
    model.dispose();
  }
}

const STEP = ["loss", "grad_norm", "learning_rate", "num_tokens"] as const satisfies (keyof SftStepEvent)[];
/** Means over tokens: of accumulated micro-batches TRL logs the mean of each one's mean, which is another number. */
const TOKENS = ["entropy", "mean_token_accuracy"] as const satisfies (keyof SftStepEvent)[];
const SHARED = [...STEP, ...TOKENS];
const PREFERENCE = [
  ...STEP, "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen",
  "logps/rejected",
] as const satisfies (keyof DpoStepEvent)[];

const PREFERENCE_TOKENS = [...TOKENS, "logits/chosen", "logits/rejected"] as const satisfies (keyof DpoStepEvent)[];

/** Roundings of float32 that AdamW carries from step to step. */
const TOLERANCE = 5e-5;

function expectAlike(got: readonly Log[], wanted: readonly Log[], names: readonly string[]): void {
  expect(got).toHaveLength(wanted.length);
  const far = names.flatMap((name) => {
    const most = Math.max(1e-3, ...wanted.map((log) => Math.abs(log[name]!)));
    return wanted.flatMap((log, step) => {
      const error = Math.abs(got[step]![name]! - log[name]!) / most;
      return error < TOLERANCE ? [] : [{ name, step, got: got[step]![name], wanted: log[name] }];
    });
  });
  expect(far).toEqual([]);
}

describeWith("TRL", ["torch", "transformers", "trl", "datasets"], (python) => {
  beforeAll(async () => {
    const model = await Model.create(config, tokenizer, { device: "cpu", seed: 7, initializer_range: 0.2 });
    await model.save(directory);
    model.dispose();
  });

  const train = (kind: "sft" | "dpo", given: object) => python.call<Log[]>("train", {
    kind, directory, rows: inOurOrder<object>(kind === "sft" ? rows : pairs), options: { ...there, ...given },
  });

  describe("SFT", () => {
    test.each([["completions alone", true], ["whole rows", false]])("%s", async (_name, completion_only_loss) => {
      const wanted = await train("sft", { completion_only_loss });
      expectAlike(await trainHere({ completion_only_loss }), wanted, SHARED);
    });

    test("accumulated there over micro-batches of one row, here over as many as fit", async () => {
      const wanted = await train("sft", { per_device_train_batch_size: 1, gradient_accumulation_steps: BATCH });
      expectAlike(await trainHere({ micro_batch_tokens: 48 }), wanted, STEP);
    });

    test("epochs and a linear schedule; ours is one step ahead while it warms up, so that no step has rate 0", async () => {
      const options = { lr_scheduler_type: "linear", num_train_epochs: 4, weight_decay: 0 } as const;
      const batch = rows.length;
      const wanted = await python.call<Log[]>("train", { kind: "sft", directory, rows, options: {
        ...there, ...options, per_device_train_batch_size: batch } });
      expectAlike(await trainHere({ ...options, batch_size: batch }), wanted, [...SHARED, "epoch"]);
      const warm = { ...options, num_train_epochs: 5 };
      const theirs = await python.call<Log[]>("train", { kind: "sft", directory, rows, options: {
        ...there, ...warm, per_device_train_batch_size: batch, warmup_steps: 2 } });
      const ours = await trainHere({ ...warm, batch_size: batch, warmup_ratio: 0.4 });
      const rates = ours.map((log) => log.learning_rate!);
      const theirRates = theirs.map((log) => log.learning_rate!);
      expect(theirRates[0]).toBe(0);
      expect(rates.slice(0, 2)).toEqual(theirRates.slice(1, 3));
      expectAlike(rates.slice(2).map((rate) => ({ rate })), theirRates.slice(2).map((rate) => ({ rate })), ["rate"]);
    });
  });

  describe("DPO", () => {
    const accumulated = { per_device_train_batch_size: 1, gradient_accumulation_steps: BATCH };
    test.each<[string, object, Partial<DpoOptions>]>([
      ["sigmoid", { loss_type: "sigmoid", beta: 0.3 }, { loss_type: "sigmoid", beta: 0.3 }],
      ["hinge", { loss_type: "hinge", beta: 0.5 }, { loss_type: "hinge", beta: 0.5 }],
      ["IPO, which takes token means", { loss_type: "ipo", beta: 0.2 }, { loss_type: "ipo", beta: 0.2 }],
      ["robust", { loss_type: "robust", label_smoothing: 0.2 }, { loss_type: "robust", label_smoothing: 0.2 }],
      ["length-normalised, its sigmoid_norm", { loss_type: "sigmoid_norm", beta: 2 }, { length_normalize: true, beta: 2 }],
      ["with an NLL term, its loss sft", { loss_type: ["sigmoid", "sft"], loss_weights: [1, 0.6] }, { rpo_alpha: 0.6 }],
      // Of one pair its loss aot is cDPO: its sigmoid has no label smoothing any more.
      ["cDPO", { ...accumulated, loss_type: "aot", label_smoothing: 0.2 }, { label_smoothing: 0.2 }],
      ["accumulated", { ...accumulated, loss_type: "sigmoid" }, { micro_batch_tokens: 60 }],
    ])("%s", async (_name, theirs, ours) => {
      const wanted = await train("dpo", { beta: 0.1, ...theirs });
      const names = "gradient_accumulation_steps" in theirs ? PREFERENCE : [...PREFERENCE, ...PREFERENCE_TOKENS];
      expectAlike(await trainHere({ beta: 0.1, ...ours }, true), wanted, names);
    });
  });
});
