// sft() and dpo() as a program calls them: rows held to the model's positions, accumulation that is exact whatever the
// cut, a first DPO loss of exactly ln 2, an abort that ends between steps, a resume equal to no interruption.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "@jest/globals";
import { Model, dpo, sample, sft, trainBpe, type CreateOptions, type DpoStepEvent, type SftOptions, type SftStepEvent } from "../../src";
import { Tokenizer } from "../../src/text/tokenizer";

const POSITIONS = 48;

const words = ["one", "two", "three", "four", "five"];
const rows = Array.from({ length: 12 }, (_, i) => ({
  prompt: `${words[i % 5]} and ${words[(i * 3) % 5]} make`,
  completion: ` ${words.slice(0, 1 + (i % 4)).join(" then ")}.`,
}));
const pairs = rows.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: " nothing at all." }));

const { tokenizer, tokenizerConfig } = trainBpe(rows.map((row) => row.prompt + row.completion), { vocabSize: 300 });
const bpe = new Tokenizer({
  tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate: null,
});

const config = {
  model_type: "llama", vocab_size: bpe.vocabSize, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
  num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 10000,
  tie_word_embeddings: true, max_position_embeddings: POSITIONS,
};

const models: Model[] = [];
async function fresh(given: CreateOptions = {}): Promise<Model> {
  const model = await Model.create(config, bpe, { device: "cpu", seed: 7, ...given });
  models.push(model);
  return model;
}
afterEach(() => models.splice(0).forEach((model) => model.dispose()));

const directory = mkdtempSync(join(tmpdir(), "selfrefine-train-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function steps<T extends { type: string }>(events: AsyncIterable<T>): Promise<Extract<T, { type: "step" }>[]> {
  const all: Extract<T, { type: "step" }>[] = [];
  for await (const event of events) if (event.type === "step") all.push(event as Extract<T, { type: "step" }>);
  return all;
}

/** All but the progress of the reference. */
async function events<T extends { type: string }>(all: AsyncIterable<T>): Promise<T[]> {
  const kept: T[] = [];
  for await (const event of all) if (event.type !== "reference") kept.push(event);
  return kept;
}

const options: Partial<SftOptions> = { batch_size: 6, num_train_epochs: 2, learning_rate: 1e-2 };
/** How far one metric of two steps is apart, relative to the second. */
const apart = (got: object, wanted: object, name: string): number => {
  const [a, b] = [got, wanted].map((event) => (event as Record<string, number>)[name] ?? NaN) as [number, number];
  return a === b ? 0 : Math.abs(a / b - 1);
};
const losses = (events: readonly (SftStepEvent | DpoStepEvent)[]) => events.map((event) => event.loss);

describe("a row longer than the model's positions", () => {
  const long = { prompt: "one", completion: " two then".repeat(POSITIONS) };

  test("is an error that names row and limit, whatever max_length says", async () => {
    await expect(steps(sft(await fresh(), [rows[0]!, long], options)))
      .rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(/row 1: .*the limit is 48/) });
    await expect(steps(dpo(await fresh(), [{ prompt: "one", chosen: long.completion, rejected: " two" }])))
      .rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(/pair 0: .*the limit is 48/) });
  });

  test("is dropped or cut where that is the policy", async () => {
    const model = await fresh();
    for (const [overlong, trained] of [["drop", 1], ["truncate", 2]] as const) {
      const all = [];
      for await (const event of sft(model, [rows[0]!, long], { overlong })) all.push(event);
      expect(all.at(-1)).toMatchObject({ type: "trained", dropped: 2 - trained, truncated: trained - 1 });
    }
  });
});

test("rows that are no records are named, with what is wanted", async () => {
  const model = await fresh();
  const half = [rows[0]!, { prompt: "one" }] as typeof rows;
  await expect(steps(sft(model, half, options))).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("row 1") });
  const empty = [null] as unknown as typeof pairs;
  await expect(steps(dpo(model, empty, options))).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("pair 0") });
  for (const id of [1.5, 2 ** 32 + 5, -1, 2 ** 31]) {
    await expect(sample(model, [{ prompt: [id] }], { max_new_tokens: 4 }).next()).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  }
  for (const wrong of ["one", ["one", 3], [{ text: "one" }], [null]]) {
    await expect(sample(model, wrong as string[], { max_new_tokens: 4 }).next())
      .rejects.toThrow(/prompts: a list is wanted|prompt [01]: a text, or \{ prompt \}/);
  }
});

test("a row that no forward pass has room for is named before the first step, with the option to raise", async () => {
  const model = await fresh();
  const long = { prompt: "one", completion: " two then".repeat(3) };
  const given = { ...options, batch_size: 1, micro_batch_tokens: 5 };
  const short = Array.from({ length: 9 }, () => ({ prompt: "one", completion: " two" }));
  const message = /(row|pair) 9 takes \d+ tokens of one forward pass, `micro_batch_tokens` is 5; raise it to \d+/;
  await expect(sft(model, [...short, long], given).next()).rejects.toMatchObject({ code: "ERR_CONFIG", message: expect.stringMatching(message) });
  const pair = { prompt: "one", chosen: " two then", rejected: " two then".repeat(3) };
  const few = Array.from({ length: 9 }, () => ({ prompt: "one", chosen: " two", rejected: " one" }));
  await expect(dpo(model, [...few, pair], given).next()).rejects.toMatchObject({ code: "ERR_CONFIG", message: expect.stringMatching(message) });
});

test("a pair of two equal completions is named; one whose difference is cut off is left out", async () => {
  const model = await fresh();
  const same = { prompt: "one", chosen: " two.", rejected: " two." };
  await expect(steps(dpo(model, [pairs[0]!, same]))).rejects.toMatchObject({
    code: "ERR_DATA", message: expect.stringMatching(/pair 1: "chosen" and "rejected" are the same/),
  });
  const alike = { prompt: "one", chosen: `${" two then".repeat(POSITIONS)} three`, rejected: " two then".repeat(POSITIONS) };
  const all = [];
  for await (const event of dpo(model, [pairs[0]!, alike], { overlong: "truncate" })) all.push(event);
  expect(all.at(-1)).toMatchObject({ type: "trained", dropped: 1, truncated: 0 });
});

test.each([
  ["sft", { batch_size: 1e9 }], ["sft", { max_steps: 1e12 }], ["sample", { num_samples: 1e9 }], ["sample", { max_batch: 1e9 }],
] as const)("an absurd count is refused by name and bound: %s %j", async (mode, given) => {
  const model = await fresh();
  const call = mode === "sft" ? sft(model, rows, given) : sample(model, ["one"], { max_new_tokens: 4, ...given });
  await expect(call.next()).rejects.toMatchObject({
    code: "ERR_CONFIG", message: expect.stringMatching(new RegExp(`^\`${mode}\\.${Object.keys(given)[0]}\`: .*<=\\d+`)),
  });
});

test("weights that are no numbers are a fault of the checkpoint, named", async () => {
  const path = join(directory, "damaged");
  await (await fresh()).save(path);
  const file = join(path, "model.safetensors");
  const bytes = readFileSync(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  writeFileSync(file, bytes);
  await expect(Model.load(path, { device: "cpu" })).rejects.toMatchObject({
    code: "ERR_CHECKPOINT", message: expect.stringMatching(/damaged.model\.safetensors: model\.norm\.weight \[31, 0\] is nan/),
  });
});

describe("accumulation", () => {
  test.each([["sft", 40], ["dpo", 60]] as const)("%s in micro-batches of %i tokens is the step in one", async (mode, cut) => {
    const train = async (micro_batch_tokens: number) => {
      const given = { ...options, micro_batch_tokens };
      const model = await fresh();
      return mode === "sft" ? steps(sft(model, rows, given)) : steps(dpo(model, pairs, given));
    };
    const [whole, parts] = [await train(4096), await train(cut)];
    expect(whole).toHaveLength(4);
    whole.forEach((step, i) => {
      expect(Math.abs(parts[i]!.loss / step.loss - 1)).toBeLessThan(1e-4);
      expect(Math.abs(parts[i]!.grad_norm / step.grad_norm - 1)).toBeLessThan(1e-3);
      for (const name of ["entropy", ...(mode === "dpo" ? ["logits/chosen", "logits/rejected"] : [])]) {
        // Before the first update all rows are the same bits, so that sums differ by their order alone.
        expect([name, apart(parts[i]!, step, name) < (i === 0 ? 1e-13 : 1e-4)]).toEqual([name, true]);
      }
      expect(apart(parts[i]!, step, "mean_token_accuracy")).toBeLessThan(i === 0 ? 1e-15 : 0.05);
    });
  });
});

describe("metrics of tokens", () => {
  test("a model of zeros is as unsure as can be and all its logits are 0; it learns to be sure and right", async () => {
    const once = { ...options, num_train_epochs: 1 };
    const blank = await steps(dpo(await fresh({ initializer_range: 1e-12 }), pairs, once));
    expect(blank[0]!.entropy).toBeCloseTo(Math.log(config.vocab_size), 6);
    for (const name of ["logits/chosen", "logits/rejected"] as const) expect(blank[0]![name]).toBeCloseTo(0, 9);
    const distinct = rows.slice(0, 5); // no prompt twice
    const learned = await steps(sft(await fresh(), distinct, { ...options, num_train_epochs: 80, batch_size: 5 }));
    expect(learned[0]!.mean_token_accuracy).toBeLessThan(0.1);
    expect(learned.at(-1)!.mean_token_accuracy).toBeGreaterThan(0.9);
    expect(learned.at(-1)!.entropy).toBeLessThan(0.3 * learned[0]!.entropy);
  });

  test("of a DPO the accuracy is of the chosen completions, as an SFT on them begins, the entropy of both", async () => {
    const whole = { ...options, batch_size: rows.length, num_train_epochs: 1 };
    const [model, other] = [await fresh(), await fresh()];
    for (const each of [model, other]) await steps(sft(each, rows, { ...options, num_train_epochs: 20 }));
    const [both] = await steps(dpo(model, pairs, whole));
    const rejected = pairs.map(({ prompt, rejected: completion }) => ({ prompt, completion }));
    const copy = await other.clone();
    models.push(copy);
    const [onRejected] = await steps(sft(copy, rejected, whole));
    const [onChosen] = await steps(sft(other, rows, whole));
    expect(onChosen!.mean_token_accuracy).toBeGreaterThan(0.5);
    expect(both!.mean_token_accuracy).toBeCloseTo(onChosen!.mean_token_accuracy, 12);
    const tokens = [onChosen!.num_scored_tokens, onRejected!.num_scored_tokens] as const;
    const mean = (onChosen!.entropy * tokens[0] + onRejected!.entropy * tokens[1]) / (tokens[0] + tokens[1]);
    expect(Math.abs(both!.entropy / mean - 1)).toBeLessThan(1e-5);
  });
});

test("dpo begins with loss ln 2 and rewards 0, exactly", async () => {
  const [first, second] = await steps(dpo(await fresh(), pairs, options));
  expect(first!.loss).toBe(Math.fround(Math.log(2)));
  const none = { "rewards/chosen": 0, "rewards/rejected": 0, "rewards/margins": 0, "rewards/accuracies": 0 };
  expect(first).toMatchObject(none);
  expect(second!.loss).not.toBe(first!.loss);
});

test.each([{ loss_type: "ipo" }, { length_normalize: true }] as const)("rewards under %j are of whole completions, num_tokens "
  + "grows by both rows of each pair", async (loss) => {
  const given = { ...options, ...loss, batch_size: pairs.length };
  const [reference, first, second] = await events(dpo(await fresh(), pairs, given));
  if (reference?.type !== "reference_logps" || first?.type !== "step" || second?.type !== "step") throw new Error("events");
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(second["rewards/chosen"]).toBeCloseTo(0.1 * (second["logps/chosen"] - mean(reference.chosen)), 4);
  expect(second["rewards/rejected"]).toBeCloseTo(0.1 * (second["logps/rejected"] - mean(reference.rejected)), 4);
  const size = (text: string) => bpe.encode(text).length;
  const both = pairs.map(({ prompt, chosen, rejected }) => 2 * size(prompt) + size(chosen) + size(rejected) + 4);
  const all = both.reduce((sum, tokens) => sum + tokens, 0);
  expect([first.num_tokens, second.num_tokens]).toEqual([all, 2 * all]);
});

const bfloat16: CreateOptions = { dtype: "bfloat16", optim_states: "bfloat16" };

test.each([["float32", {}], ["bfloat16", bfloat16]] as const)("an abort ends between steps; the checkpoint with %s states "
  + "it leaves goes on as if nothing had happened", async (name, kind) => {
  const whole = await fresh(kind);
  const uninterrupted = await steps(sft(whole, rows, options));
  const abort = new AbortController();
  const checkpoint = { directory: join(directory, `abort-${name}`), every_seconds: 3600 };
  const begun: number[] = [];
  const begunMetrics: unknown[] = [];
  const interrupted = async () => {
    for await (const event of sft(await fresh(kind), rows, options, { signal: abort.signal, checkpoint })) {
      if (event.type === "step") begun.push(event.loss);
      if (event.type === "step") begunMetrics.push([event.entropy, event.mean_token_accuracy]);
      if (begun.length === 2) abort.abort(new Error("enough"));
    }
  };
  await expect(interrupted()).rejects.toThrow("enough");
  const resumed = await fresh(kind);
  const rest = await steps(sft(resumed, rows, options, { checkpoint }));
  expect([...begun, ...losses(rest)]).toEqual(losses(uninterrupted));
  const metrics = (all: readonly SftStepEvent[]) => all.map((event) => [event.entropy, event.mean_token_accuracy]);
  expect([...begunMetrics, ...metrics(rest)]).toEqual(metrics(uninterrupted));
  expect(rest.at(-1)!.num_tokens).toBe(uninterrupted.at(-1)!.num_tokens);
  const again = { ...options, num_train_epochs: 1 };
  const score = async (model: Model) => losses(await steps(sft(model, rows, again)));
  expect(await score(resumed)).toEqual(await score(whole));
});

test("what a killed process left half written goes with the next checkpoint", async () => {
  const checkpoint = { directory: join(directory, "killed"), every_seconds: 0 };
  mkdirSync(join(checkpoint.directory, ".checkpoint-00000001.tmp-1-0123abcd"), { recursive: true });
  await steps(sft(await fresh(), rows, options, { checkpoint }));
  expect(readdirSync(checkpoint.directory)).toEqual(["checkpoint-00000003"]);
});

describe("bfloat16 states", () => {
  test("train a model: weights of the right size and no masters, and a seed that decides the rounding", async () => {
    const model = await fresh(bfloat16);
    expect(model.memory().map(({ arena }) => arena)).not.toContain("masters");
    const trained = losses(await steps(sft(model, rows, options)));
    expect(trained.at(-1)).toBeLessThan(0.9 * trained[0]!);
    expect(losses(await steps(sft(await fresh(bfloat16), rows, options)))).toEqual(trained);
    expect(losses(await steps(dpo(model, pairs, options)))[0]).toBe(Math.fround(Math.log(2)));
  });

  test("want bfloat16 weights", async () => {
    await expect(fresh({ optim_states: "bfloat16" })).rejects.toMatchObject({
      code: "ERR_CONFIG", message: expect.stringMatching(/`model.optim_states` has no effect .*choose `model.dtype` bfloat16/),
    });
  });
});

describe("a checkpoint is refused, and the weights stay, when", () => {
  test.each([["float32", "bfloat16"], ["bfloat16", "float32"]] as const)(
    "it holds %s states and the training wants %s ones", async (held, wanted) => {
      const checkpoint = { directory: join(directory, `states-${held}`), every_seconds: 0 };
      const open = (optim_states: "float32" | "bfloat16") => fresh({ dtype: "bfloat16", optim_states });
      await steps(sft(await open(held), rows, options, { checkpoint }));
      const other = await open(wanted);
      const before = await other.fingerprint();
      await expect(steps(sft(other, rows, options, { checkpoint }))).rejects.toMatchObject({
        code: "ERR_CHECKPOINT",
        message: expect.stringMatching(new RegExp(`holds ${held} optimizer states.*${wanted} ones; give optim_states ${held}`)),
      });
      expect(await other.fingerprint()).toBe(before);
    });

  test("it began with other weights of the same shape", async () => {
    const checkpoint = { directory: join(directory, "weights"), every_seconds: 0 };
    for await (const event of sft(await fresh(), rows, options, { checkpoint })) {
      if (event.type === "step" && event.step === 2) break;
    }
    const other = await Model.create(config, bpe, { device: "cpu", seed: 8 });
    models.push(other);
    const before = await other.fingerprint();
    await expect(steps(sft(other, rows, options, { checkpoint }))).rejects.toMatchObject({
      code: "ERR_CHECKPOINT", message: expect.stringMatching(/other data, options or weights.*load the model/),
    });
    expect(await other.fingerprint()).toBe(before);
    await expect(steps(sft(await fresh(), rows, options, { checkpoint }))).resolves.toHaveLength(3);
  });

  test("a DPO that goes on is measured against the scores that were kept; other pairs are scored anew", async () => {
    const checkpoint = { directory: join(directory, "kept"), every_seconds: 0 };
    const begin = async (own: typeof pairs, until: number): Promise<string[]> => {
      const seen: string[] = [];
      for await (const event of dpo(await fresh(), own, options, { checkpoint })) {
        seen.push(event.type);
        if (event.type === "step" && event.step === until) break;
      }
      return seen;
    };
    expect(await begin(pairs, 2)).toContain("reference");
    expect(await begin(pairs, 3)).toEqual(["reference_logps", "step", "step"]); // the last checkpoint was of step 1
    const seen: string[] = [];
    const other = pairs.map((pair) => ({ ...pair, rejected: " something else." }));
    await expect((async () => {
      for await (const event of dpo(await fresh(), other, options, { checkpoint })) seen.push(event.type);
    })()).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
    expect(seen).toContain("reference");
  });

  test("its preferences were measured against another reference", async () => {
    const checkpoint = { directory: join(directory, "reference"), every_seconds: 0 };
    const zeros = { chosen: new Float32Array(pairs.length), rejected: new Float32Array(pairs.length) };
    await steps(dpo(await fresh(), pairs, options, { checkpoint, reference: zeros }));
    const ones = { chosen: zeros.chosen.map(() => -1), rejected: zeros.rejected };
    await expect(steps(dpo(await fresh(), pairs, options, { checkpoint, reference: ones })))
      .rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
  });
});
