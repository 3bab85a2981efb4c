// The boundary to the C++ addon: this file alone loads selfrefine.node and types everything that crosses it.
// Calls are coarse (a step, an update, a run of decode steps); what they work on are typed arrays over native memory
// that both sides see, so no tensor is copied. It does NOT know files of data, tokenizers, tasks or schedules.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { SelfRefineError, codeOf, fail, messageOf, type ErrorCode } from "./errors";

export type Device = "cuda" | "cpu" | "reference" | "cuda-sim";
export type DType = "float32" | "bfloat16";

export type RopeScaling =
  | { type: "linear"; factor: number }
  | {
      type: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositionEmbeddings: number;
    };

/** The shape of a Llama-family decoder; names are those of Hugging Face's config.json in camel case. */
export interface ModelConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: RopeScaling | null;
  /** Pairs (2i, 2i + 1) turn together, as in llama2.c; false: (i, i + headDim / 2), as in Hugging Face. */
  ropeInterleaved: boolean;
  tieWordEmbeddings: boolean;
  /** Bias on the query, key and value projections (Qwen2). */
  attentionBias: boolean;
  /** RMSNorm on each query and key head (Qwen3). */
  qkNorm: boolean;
  /** Keys at this distance or more are not seen (Mistral v0.1); null: all are. */
  slidingWindow: number | null;
  maxPositionEmbeddings: number;
  bosTokenId: number | null;
  eosTokenIds: number[];
}

/** Adapters on these projections of every layer, beside weights that are frozen. */
export interface LoraConfig {
  r: number;
  /** What an adapter's output is multiplied by. */
  scale: number;
  targetModules: string[];
}

export interface NativeModelOptions {
  device: Device;
  dtype: DType;
  /** 0: every processor the process may use. */
  threads: number;
  /** With bfloat16: float32 masters beside the parameters. Without them a trainer's states are bfloat16 too. */
  masters: boolean;
  /** A trainer then changes the adapters alone, whose masters there always are; weights have none. */
  lora?: LoraConfig | null;
}

/** `rows` rows of a parameter, from row `rowOffset`, stored at byte `fileOffset` of a file. */
export interface TensorEntry {
  parameter: string;
  rowOffset: number;
  rows: number;
  fileOffset: number;
  dtype: "F32" | "BF16" | "F16";
}

export interface MemoryRow {
  arena: string;
  bytes: number;
  /** Read and written by both sides: on a GPU this is pinned memory of the host. */
  shared: boolean;
}

/**
 * A model, its trainers and its samplers do one thing at a time: a call while another runs is ERR_BUSY, a call after
 * dispose() is ERR_DISPOSED. dispose() during work takes effect when the work ends; memory of a model goes with the
 * last of its trainers and samplers.
 */
export interface NativeModel {
  /** Parameters in arena order, with their shapes: [rows, columns] or [n]. */
  parameters(): { name: string; shape: number[] }[];
  /** The same of the adapters; their names go wherever a parameter's may. */
  adapterParameters(): { name: string; shape: number[] }[];
  /** One line: instruction set and threads, or the GPU. */
  description(): string;
  /**
   * The fp32 values of a parameter, shared, not copied: the same ArrayBuffer each time, valid even after dispose().
   * With bf16 storage: the masters. After writing, call `sync`. Where the weights lie on a GPU, or are bf16 without
   * masters, it is a copy that each call renews; ERR_BUSY then while other work runs.
   */
  parameterView(name: string): ArrayBuffer;
  /** To call after writing through views: rounds masters to the storage type and drops what was packed of them. */
  sync(): void;
  /** Matrices normal(0, std), output projections of residual blocks normal(0, std / sqrt(2 L)), norms 1, biases 0. */
  initialize(seed: number, std: number): Promise<void>;
  /** A uniform in +-1 / sqrt(inputs), as PEFT's kaiming_uniform with a = sqrt 5, B 0: the model computes the same. */
  initializeAdapter(seed: number): Promise<void>;
  /** Off: it computes as without the adapters, and steps are ERR_UNSUPPORTED. Without adapters ERR_UNSUPPORTED. */
  useAdapter(on: boolean): void;
  /** Adds scale B A to the weights in float32 and rounds them; B is 0 then, a trainer's steps are ERR_UNSUPPORTED. */
  merge(): Promise<void>;
  /**
   * Reads and converts; all entries are held against the file before the first is read. ERR_IO if one passes its end,
   * ERR_INVALID_ARGUMENT on weights that are NaN or infinite; then weights may be partly replaced.
   */
  read(path: string, entries: TensorEntry[]): Promise<void>;
  /**
   * Writes `header`, then the entries at their offsets, and flushes to disk. The caller renames, or removes the file
   * after an error: ERR_IO, or ERR_INVALID_ARGUMENT for a weight that is not finite in the type of its entry.
   */
  write(path: string, header: Uint8Array, entries: TensorEntry[]): Promise<void>;
  /** Copies all weights of a model of the same config, and its adapters, which must be alike. */
  copyFrom(other: NativeModel): Promise<void>;
  /** Bytes that its device may still give. */
  availableBytes(): number;
  /** A 64-bit hash of all weights. */
  fingerprint(): Promise<bigint>;
  memory(): MemoryRow[];
  dispose(): void;
}

export interface TrainerCapacity {
  /** Rows of the largest micro-batch. */
  maxTokens: number;
  maxSegments: number;
  /** Scored sequences: examples of SFT, or two per pair. */
  maxSequences: number;
  /** False: forward only (reference scores, evaluation); no gradients, no optimizer states, steps ERR_UNSUPPORTED. */
  training: boolean;
}

/**
 * Buffers of a trainer. The caller fills the inputs, then calls a step with how much of them is valid. The call copies
 * that part before it returns its promise: the next batch may be filled in while the step runs.
 */
export interface TrainerBuffers {
  tokens: ArrayBuffer; // int32 [maxTokens]
  positions: ArrayBuffer; // int32 [maxTokens]
  targets: ArrayBuffer; // int32 [maxTokens], -100 = none
  weights: ArrayBuffer; // float32 [maxTokens], d loss / d(-logp) of SFT
  segments: ArrayBuffer; // int32 [maxSegments, 4]: begin, end, prefixBegin, prefixEnd
  sequenceOfRow: ArrayBuffer; // int32 [maxTokens]: scored sequence of the row's target, -1 = none; not decreasing
  referenceLogps: ArrayBuffer; // float32 [maxSequences], input of dpoStep
  logps: ArrayBuffer; // float32 [maxTokens], output: log-prob of each row's target, 0 where there is none
  sequenceLogps: ArrayBuffer; // float32 [maxSequences], output: sums of logps
  pairLosses: ArrayBuffer; // float32 [maxSequences / 2], output of dpoStep
}

/** How much of the buffers is valid. `sequences` 0: sequenceOfRow is not read and sequenceLogps not written. */
export interface BatchSize {
  tokens: number;
  segments: number;
  sequences: number;
}

export interface PreferenceOptions {
  loss: "sigmoid" | "robust" | "hinge" | "ipo";
  lengthNormalize: boolean;
  beta: number;
  labelSmoothing: number;
  /** 1 / (pairs of the whole optimizer step). */
  pairWeight: number;
  /** alpha / (chosen tokens of the whole optimizer step), 0 for none. */
  nllWeight: number;
}

export interface UpdateOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** 0: no clipping. */
  maxGradNorm: number;
  /** Counted from 1. */
  step: number;
  /** Of the random bits by which bfloat16 states are rounded, with the step and the element. */
  seed: number;
}

export interface StateArenas {
  dtype: DType;
  elements: number;
}

/** Sums over scored tokens. With p the distribution that the model predicts a token by: */
export interface TokenSums {
  /** How many there are. */
  tokens: number;
  /** Entropies -sum_v p[v] log p[v], in nats. */
  entropy: number;
  /** Tokens that no other was likelier than. */
  correct: number;
  /** Means of the logits over the vocabulary. */
  meanLogits: number;
}

export interface NativeTrainer {
  buffers(): TrainerBuffers;
  /** Log-probs by the training forward; fills logps and sequenceLogps. */
  logps(size: BatchSize): Promise<void>;
  /**
   * Forward and backward of loss = -sum(weights * logps); gradients accumulate. On a GPU it resolves when the loss is
   * known; should the backward pass end in an error, a later call throws it.
   */
  sftStep(size: BatchSize): Promise<{ loss: number; scored: TokenSums }>;
  /** The same of a preference loss; sequences 2i, 2i + 1 are chosen and rejected. */
  dpoStep(
    size: BatchSize, options: PreferenceOptions,
  ): Promise<{ loss: number; chosen: TokenSums; rejected: TokenSums }>;
  /**
   * Clips, applies AdamW and zeroes gradients; matrices decay, norms and biases do not. If a gradient is not finite,
   * ERR_INVALID_ARGUMENT: gradients are zeroed and weights stay.
   */
  update(options: UpdateOptions): Promise<{ gradNorm: number }>;
  /** The gradient of a parameter in fp32, shared, or on a GPU a copy that each call renews; for tests. */
  gradientView(name: string): ArrayBuffer;
  /** Zeroes moments and gradients: a new run on the same memory. */
  reset(): Promise<void>;
  /** Flat arenas, one after the other after `header`: weights, exp_avg, exp_avg_sq. Flushed to disk. */
  writeState(path: string, header: Uint8Array): Promise<void>;
  /** The rest of the file must be these arenas. After an error weights and moments may be partly replaced. */
  readState(path: string, fileOffset: number): Promise<void>;
  /** What one arena of the state is. */
  stateArenas(): StateArenas;
  memory(): MemoryRow[];
  dispose(): void;
}

export interface SamplerCapacity {
  /** Sequences decoded together. */
  maxBatch: number;
  /** Longest prompt plus completion, at most maxPositionEmbeddings. */
  maxLength: number;
  /** Rows of one prefill pass; at least the longest prompt. */
  maxPrefillTokens: number;
  /** Positions the key/value cache can hold, all sequences and prompts together. */
  cacheTokens: number;
  /**
   * Decode steps after which the host looks at what was drawn, to end and admit samples. Samples do not depend on it:
   * what was drawn after an end is dropped. Default: 1 on the CPU, 8 on a GPU, which would wait for each look.
   */
  stepsPerLook?: number;
}

export interface GenerationOptions {
  seed: bigint;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  maxNewTokens: number;
  stopTokenIds: number[];
  /** Byte strings that end a completion as soon as its text contains one; needs tokenBytes. */
  stopStrings: Uint8Array[];
}

export interface FinishedSample {
  prompt: number;
  sample: number;
  /** New tokens only; the stop token is the last one if that is what ended the sample. */
  tokens: ArrayBuffer; // int32
  logps: ArrayBuffer; // float32, under the unmodified softmax
  finishReason: "stop" | "length";
}

export interface NativeSampler {
  /** Bytes each token contributes to the text: the bytes, and offsets of vocabSize + 1. */
  setTokenBytes(bytes: Uint8Array, offsets: Int32Array): void;
  /** Begins a generation; drops what was left of the one before. */
  begin(options: GenerationOptions): void;
  /** Queues `samples` continuations of a prompt; `prompt`, an int32, is its number in the RNG key. */
  submit(prompt: number, tokens: Int32Array, samples: number): void;
  /**
   * Runs up to `maxSteps` decode steps, admitting waiting prompts as rows leave; resolves with what finished in this
   * call, in a repeatable order, the samples still to come, and the tokens drawn since begin().
   * ERR_INVALID_ARGUMENT if the weights changed since begin().
   */
  run(maxSteps: number): Promise<{ finished: FinishedSample[]; pending: number; generatedTokens: number }>;
  /** Ends a generation and releases packed weights and cache pages. */
  end(): void;
  memory(): MemoryRow[];
  dispose(): void;
}

/** What memory is planned for: a model alone, or with one of these. */
export interface PlannedWork {
  training: {
    capacity: TrainerCapacity;
    /** Log-probs of a reference and a preference loss; else cross-entropy. */
    preference: boolean;
    /** Tokens of the longest row, or of both answers of a pair with their prompt. */
    rowLength: number;
    /** Rows or pairs of a full micro-batch. */
    rows: number;
  } | null;
  sampling: SamplerCapacity | null;
}

export interface DeviceInfo {
  name: Device;
  /** Instruction set and threads, or the GPU; of one that is not usable: why not. */
  description: string;
  usable: boolean;
}

export interface NativeAddon {
  /** What this build can compute on, the fastest first. */
  devices(): DeviceInfo[];
  /** What "auto" stands for on this machine; the description says why. */
  autoDevice(): DeviceInfo;
  /**
   * The rows of memory() of model and trainer or sampler, before any of it is taken: arenas exactly, work areas as a
   * full micro-batch needs them, on a GPU a bound. Needs no such device. ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY.
   */
  plan(config: ModelConfig, options: NativeModelOptions, work: PlannedWork): MemoryRow[];
  /** Bytes that a device may still give. ERR_CUDA, ERR_UNSUPPORTED where it cannot be used. */
  availableBytes(device: Device): number;
  Model: new (config: ModelConfig, options: NativeModelOptions) => NativeModel;
  Trainer: new (model: NativeModel, capacity: TrainerCapacity) => NativeTrainer;
  Sampler: new (model: NativeModel, capacity: SamplerCapacity) => NativeSampler;
}

const addonPath = (): string =>
  process.env["SELFREFINE_ADDON"] ?? resolve(__dirname, "..", "build", "Release", "selfrefine.node");

let loaded: NativeAddon | undefined;

/** The addon, loaded once. ERR_UNSUPPORTED with the remedy if it was not built or cannot be loaded. */
export function nativeAddon(): NativeAddon {
  if (loaded) return loaded;
  const path = addonPath();
  if (!existsSync(path)) {
    fail("ERR_UNSUPPORTED", `the native addon is not built (${path} does not exist): run "npm rebuild selfrefine", `
      + `or "npm run build:native" in a checkout`);
  }
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- a .node file has no other loader
    loaded = require(path) as NativeAddon;
  } catch (error) {
    fail("ERR_UNSUPPORTED", `the native addon ${path} cannot be loaded: ${messageOf(error)}; rebuild it with `
      + `"npm run build:native"`, { file: path }, error);
  }
  return loaded;
}

/** Rewraps what native code threw: its errors belong to another realm under jest, and carry their code as a field. */
export function fromNative(error: unknown): SelfRefineError {
  const code = codeOf(error);
  const known = code !== undefined && code.startsWith("ERR_") ? (code as ErrorCode) : "ERR_INTERNAL";
  return new SelfRefineError(known, messageOf(error), {}, error);
}

/** Runs a native call, asynchronous or not, and rewraps what it throws. */
export async function native<T>(call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}

/** The same for a call that returns at once. */
export function nativeSync<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}
