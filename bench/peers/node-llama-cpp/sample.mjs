// node-llama-cpp's decoding, timed: B sequences of one context, N new tokens each, on the CPU, random weights.
//   node sample.mjs --config ../../configs/medium.json --batch 64 --prompt-length 16 --new-tokens 64 --dtype bfloat16
// As shipped, every sequence runs in a loop of its own, as the library's documentation has it. --tuned starts each
// token of all sequences together, which keeps llama.cpp's batches whole and in order. Protocol: ../README.md.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { dtypes, writeRandomGguf } from "./random-gguf.mjs";

const PEER = "node-llama-cpp";
const emit = (record) => process.stdout.write(JSON.stringify({ peer: PEER, ...record }) + "\n");

function readOptions() {
  const text = (value) => ({ type: "string", default: String(value) });
  const flag = { type: "boolean", default: false };
  const { values } = parseArgs({
    options: {
      config: { type: "string" }, dtype: text("bfloat16"), threads: text(availableParallelism()), rounds: text(3),
      batch: text(8), "prompt-length": text(16), "new-tokens": text(64), seed: text(0), temperature: text(0),
      tuned: flag, interleave: flag, json: flag,
    },
  });
  if (values.config === undefined) throw new Error("--config is missing, expected a Hugging Face config.json");
  if (!dtypes.includes(values.dtype)) throw new Error(`--dtype is "${values.dtype}", expected one of ${dtypes.join(", ")}`);
  const number = (name, least) => {
    const value = Number(values[name]);
    if (!(value >= least)) throw new Error(`--${name} is "${values[name]}", expected a number of at least ${least}`);
    return value;
  };
  return {
    ...values, batch: number("batch", 1), promptLength: number("prompt-length", 1), newTokens: number("new-tokens", 2),
    threads: number("threads", 1), rounds: number("rounds", 1), seed: number("seed", 0), temperature: number("temperature", 0),
  };
}

/** The library, or undefined after the status line: an absent peer is a result, not a failure. */
async function importLibrary() {
  try {
    return await import("node-llama-cpp");
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    emit({ status: "not installed", reason: error.message, remedy: "npm install --prefix bench/peers/node-llama-cpp" });
    return undefined;
  }
}

async function loadContext(library, config, options) {
  const folder = mkdtempSync(join(tmpdir(), "selfrefine-peer-"));
  try {
    const modelPath = join(folder, "model.gguf");
    writeRandomGguf(modelPath, config, options.dtype, options.seed);
    const llama = await library.getLlama({
      gpu: false, build: "never", skipDownload: true, progressLogs: false, maxThreads: options.threads,
      logLevel: library.LlamaLogLevel.error,
    });
    const model = await llama.loadModel({ modelPath });
    const context = await model.createContext({
      sequences: options.batch, contextSize: options.promptLength + options.newTokens,
      batchSize: Math.max(512, options.batch), threads: { ideal: options.threads, min: options.threads },
      batching: options.tuned ? { itemPrioritizationStrategy: inSequenceOrder } : {},
    });
    return { context, sequences: Array.from({ length: options.batch }, () => context.getSequence()) };
  } finally {
    rmSync(folder, { recursive: true, force: true }); // llama.cpp holds it mapped
  }
}

/** Whole items in the order of their sequences, known by their priorities, as far as the batch reaches. */
function inSequenceOrder({ items, size }) {
  let left = size;
  const ordered = [...items].sort((a, b) => a.evaluationPriority - b.evaluationPriority);
  return ordered.map((item) => {
    const processAmount = Math.min(item.tokens.length, left);
    left -= processAmount;
    return { item, processAmount };
  }).filter(({ processAmount }) => processAmount > 0);
}

/** Counts tokens from the moment every sequence has its first one: what comes after is decoding alone. */
class Meter {
  constructor(sequences) {
    this.produced = new Array(sequences).fill(0);
    this.waiting = sequences;
    this.begun = performance.now();
  }

  count(sequence) {
    if (this.produced[sequence]++ > 0) return;
    if (--this.waiting > 0) return;
    this.prefilled = performance.now();
    this.before = this.total();
  }

  total() {
    return this.produced.reduce((sum, tokens) => sum + tokens, 0);
  }

  /** Tokens after the prefill, their seconds, and the prefill's milliseconds. */
  finish() {
    const seconds = (performance.now() - this.prefilled) / 1e3;
    return { tokens: this.total() - this.before, seconds, prefillMs: this.prefilled - this.begun };
  }
}

/** One token of one sequence; a sequence that ends early would make the count of tokens a lie. */
async function nextToken(generator) {
  if ((await generator.next()).done) throw new Error("a sequence ended before its last token");
}

async function runApart(generators, newTokens, meter) {
  await Promise.all(generators.map(async (generator, sequence) => {
    for (let tokens = 0; tokens < newTokens; tokens++) {
      await nextToken(generator);
      meter.count(sequence);
    }
    await generator.return();
  }));
}

async function runTogether(generators, newTokens, meter) {
  for (let tokens = 0; tokens < newTokens; tokens++) {
    await Promise.all(generators.map(nextToken));
    generators.forEach((_, sequence) => meter.count(sequence));
  }
  await Promise.all(generators.map((generator) => generator.return()));
}

async function runRound(sequences, prompts, options) {
  for (const sequence of sequences) await sequence.clearHistory();
  const meter = new Meter(sequences.length);
  const generators = sequences.map((sequence, index) => sequence.evaluate(prompts[index], {
    temperature: options.temperature, seed: options.seed + index + 1, yieldEogToken: true,
    ...(options.tuned ? { evaluationPriority: index + 1 } : {}),
  }));
  await (options.tuned ? runTogether : runApart)(generators, options.newTokens, meter);
  return meter.finish();
}

/** FLOPs of one decoded token: 2 per matmul weight (head included) and 4 D per head and attended position. */
function flopsPerToken(config, attended) {
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const rows = 2 * (config.num_attention_heads + config.num_key_value_heads) * headDim;
  const layer = config.hidden_size * (rows + 3 * config.intermediate_size);
  const weights = config.num_hidden_layers * layer + config.hidden_size * config.vocab_size;
  return 2 * weights + 4 * config.num_hidden_layers * config.num_attention_heads * headDim * attended;
}

async function main() {
  const options = readOptions();
  const library = await importLibrary();
  if (library === undefined) return;
  const config = JSON.parse(readFileSync(options.config, "utf8"));
  const { sequences } = await loadContext(library, config, options);
  const firstWord = 259; // after the control and byte tokens
  const promptToken = (index, t) => firstWord + (index * 7919 + t * 104729) % (config.vocab_size - firstWord);
  const prompts = sequences.map((_, index) =>
    Array.from({ length: options.promptLength }, (_, t) => promptToken(index, t)));
  const measure = async (round) => {
    const { tokens, seconds, prefillMs } = await runRound(sequences, prompts, options);
    const rate = tokens / seconds;
    const flops = rate * flopsPerToken(config, options.promptLength + options.newTokens / 2);
    emit({
      round, tokens_per_second: rate, step_ms: options.batch / rate * 1e3, prefill_ms: prefillMs,
      flops_per_second: flops, peak_bytes: process.resourceUsage().maxRSS * 1024,
    });
  };
  const begun = performance.now();
  await runRound(sequences, prompts, options);
  emit({
    status: "ready", version: await library.getModuleVersion(), threads: options.threads, dtype: options.dtype,
    form: options.tuned ? "tuned" : "as shipped", warmup_ms: performance.now() - begun,
  });
  if (!options.interleave) for (let round = 0; round < options.rounds; round++) await measure(round);
  let round = 0;
  if (options.interleave) for await (const _ of createInterface({ input: process.stdin })) await measure(round++);
}

// The library keeps worker threads: leave once the output is out.
main().then(() => process.stdout.write("", () => process.exit(0)), (error) => {
  process.stderr.write(`${PEER}: ${error.message}\n`);
  process.exit(1);
});
