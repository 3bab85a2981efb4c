// Drawing completions: prompts in, finished samples out as they finish, a batch of them decoded together all the time.
// A sample is a function of (weights, prompt, seed, prompt key, sample number) alone: not of the batch it was in.
// It does NOT know tasks, rewards or prompt templates.
import { generationRules } from "../config/effects";
import { generationOptions, type GenerationOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { fail } from "../errors";
import type { Model } from "../model";
import { native, nativeAddon, nativeSync, type FinishedSample, type NativeSampler } from "../native";
import { expectMemory } from "../plan/memory";
import { samplerCapacity, samplingJob } from "../plan/work";
import { encodePrompt } from "../text/prompt";

/** Decode steps between two looks at the abort signal: some milliseconds of work. */
const STEPS_PER_CALL = 16;

export interface Prompt {
  /** Text, or ids that are used as they are. */
  prompt: string | readonly number[];
  /** Its number in the RNG's key, 32 bits; default: its place in the list. */
  key?: number;
}

export interface SampleEvent {
  type: "sample";
  /** Place of the prompt in the list. */
  prompt: number;
  sample: number;
  text: string;
  /** Drawn ids, the one that ended it included. */
  tokens: Int32Array;
  /** Log-probability (nats) of each drawn token under the model at temperature 1. */
  logps: Float32Array;
  finish_reason: "stop" | "length";
}

export interface SampleProgressEvent {
  type: "progress";
  finished: number;
  total: number;
  generated_tokens: number;
}

export interface SampleControl {
  signal?: AbortSignal;
}

interface Request {
  ids: Int32Array;
  key: number;
}

/** From JavaScript anything may come. */
function expectPrompt(item: unknown, index: number): Prompt {
  const given = (typeof item === "object" && item !== null ? item : { prompt: item }) as Prompt;
  if (typeof given.prompt !== "string" && !Array.isArray(given.prompt) && !ArrayBuffer.isView(given.prompt)) {
    fail("ERR_INVALID_ARGUMENT", `prompt ${index}: a text, or { prompt } with a text or token ids is wanted, got `
      + (typeof item === "object" ? JSON.stringify(item)?.slice(0, 60) : typeof item), { prompt: index });
  }
  return given;
}

function toRequests(model: Model, prompts: readonly (string | Prompt)[], options: GenerationOptions): Request[] {
  const longest = model.config.maxPositionEmbeddings - options.max_new_tokens;
  if (longest < 1) {
    fail("ERR_INVALID_ARGUMENT", `\`max_new_tokens\` ${options.max_new_tokens} leaves no room for a prompt: the model has `
      + `${model.config.maxPositionEmbeddings} positions; ask for fewer`);
  }
  if (!Array.isArray(prompts)) fail("ERR_INVALID_ARGUMENT", `prompts: a list is wanted, got ${typeof prompts}`);
  const taken = new Set<number>();
  return prompts.map((item, index) => {
    const { prompt, key = index } = expectPrompt(item, index);
    const ids = typeof prompt === "string" ? encodePrompt(model.tokenizer, prompt, `prompt ${index}`)
      : prompt;
    if (ids.length === 0 || ids.length > longest) {
      fail("ERR_INVALID_ARGUMENT", `prompt ${index} has ${ids.length} tokens; with \`max_new_tokens\` `
        + `${options.max_new_tokens} this model takes 1 to ${longest}`, { prompt: index });
    }
    const strange = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= model.config.vocabSize);
    if (strange !== undefined) {
      fail("ERR_INVALID_ARGUMENT", `prompt ${index} has the token id ${strange}, wanted integers from 0 to `
        + `${model.config.vocabSize - 1}`, { prompt: index });
    }
    let unique = key | 0;
    while (taken.has(unique)) unique = (unique + 1) | 0;
    taken.add(unique);
    return { ids: Int32Array.from(ids), key: unique };
  });
}

function openSampler(model: Model, requests: readonly Request[], options: GenerationOptions): NativeSampler {
  const addon = nativeAddon();
  const longest = requests.reduce((most, { ids }) => Math.max(most, ids.length), 1);
  const maxBatch = Math.min(options.max_batch, requests.length * options.num_samples);
  expectMemory(model, samplingJob(maxBatch, longest, options.max_new_tokens));
  const capacity = samplerCapacity(maxBatch, longest, options.max_new_tokens);
  return nativeSync(() => new addon.Sampler(model.native, capacity));
}

function begin(sampler: NativeSampler, model: Model, options: GenerationOptions): void {
  const { tokenizer, config } = model;
  if (options.stop.length > 0) {
    const { bytes, offsets } = tokenizer.tokenBytes(config.vocabSize);
    nativeSync(() => sampler.setTokenBytes(bytes, offsets));
  }
  const utf8 = new TextEncoder();
  nativeSync(() => sampler.begin({
    seed: BigInt(options.seed),
    temperature: options.temperature,
    topK: options.top_k,
    topP: options.top_p,
    minP: options.min_p,
    maxNewTokens: options.max_new_tokens,
    stopTokenIds: [...new Set([...tokenizer.eosIds, ...config.eosTokenIds])],
    stopStrings: options.stop.map((text) => utf8.encode(text)),
  }));
}

function toEvent(model: Model, finished: FinishedSample, place: number): SampleEvent {
  const tokens = new Int32Array(finished.tokens);
  return {
    type: "sample",
    prompt: place,
    sample: finished.sample,
    text: model.tokenizer.decodeContinuation(tokens),
    tokens,
    logps: new Float32Array(finished.logps),
    finish_reason: finished.finishReason,
  };
}

/**
 * Draws `num_samples` completions of each prompt. Events come as samples finish, in an order that is the same for the
 * same call; a consumer that is slow holds the decoding back.
 * @throws ERR_CONFIG, ERR_INVALID_ARGUMENT naming the prompt, ERR_OUT_OF_MEMORY; the signal's reason when aborted
 */
export async function* sample(
  model: Model,
  prompts: readonly (string | Prompt)[],
  options: Partial<GenerationOptions> = {},
  control: SampleControl = {},
): AsyncGenerator<SampleEvent | SampleProgressEvent, void, undefined> {
  const parsed = parseOptions(generationOptions, options, "sample", generationRules);
  const requests = toRequests(model, prompts, parsed);
  if (requests.length === 0) return;
  const places = new Map(requests.map(({ key }, index) => [key, index]));
  const total = requests.length * parsed.num_samples;
  const sampler = openSampler(model, requests, parsed);
  try {
    begin(sampler, model, parsed);
    nativeSync(() => requests.forEach(({ ids, key }) => sampler.submit(key, ids, parsed.num_samples)));
    for (let finished = 0; finished < total;) {
      control.signal?.throwIfAborted();
      const progress = await native(() => sampler.run(STEPS_PER_CALL));
      finished += progress.finished.length;
      for (const one of progress.finished) yield toEvent(model, one, places.get(one.prompt) as number);
      yield { type: "progress", finished, total, generated_tokens: progress.generatedTokens };
    }
  } finally {
    sampler.dispose();
  }
}
