// A language model in memory: its weights on a device, its config and its tokenizer. Loads and saves Hugging Face
// directories and llama2.c files. It does NOT train or sample; those take a Model.
import { extname, join } from "node:path";
import { atomicDirectory, recoverSwap } from "./files";
import { planRead, planWrite, writeModelConfig, type ReadPlan } from "./checkpoint/huggingface";
import { readLlama2c } from "./checkpoint/llama2c";
import { isGpu, modelRules } from "./config/effects";
import { modelOptions, type ModelOptions } from "./config/options";
import { parseOptions } from "./config/parse";
import { codeOf, fail, messageOf, SelfRefineError } from "./errors";
import {
  native, nativeAddon, nativeSync, type Device, type DeviceInfo, type DType, type MemoryRow, type ModelConfig,
  type NativeModel, type NativeModelOptions,
} from "./native";
import { expectMemoryForModel } from "./plan/memory";
import type { PlannedJob } from "./plan/work";
import { Tokenizer } from "./text/tokenizer";

/** Weights of a fresh model: normal(0, std); 0.02 is the `initializer_range` of the Llama configs. */
const INITIALIZER_RANGE = 0.02;

export interface LoadOptions extends Partial<ModelOptions> {
  tokenizer?: Tokenizer;
  /** What will be done with the model: where there is no room for that, it is not read at all. */
  work?: (config: ModelConfig) => PlannedJob;
}

export interface CreateOptions extends Partial<ModelOptions> {
  seed?: number;
  initializer_range?: number;
}

export class Model {
  private constructor(
    readonly native: NativeModel,
    readonly config: ModelConfig,
    readonly tokenizer: Tokenizer,
    readonly options: ModelOptions & { device: Device },
    /** The config.json it came from; unknown keys are kept when it is saved. */
    private readonly sourceConfig: Record<string, unknown>,
  ) {}

  /**
   * Reads a Hugging Face directory, or a llama2.c .bin file with the tokenizer given beside it.
   * @throws ERR_IO, ERR_CHECKPOINT, ERR_UNSUPPORTED naming the file or tensor; ERR_OUT_OF_MEMORY
   */
  static async load(path: string, options: LoadOptions = {}): Promise<Model> {
    const { tokenizer: given, work, ...rest } = options;
    await recoverSwap(path);
    const llama2c = extname(path) === ".bin";
    if (llama2c && !given) {
      fail("ERR_INVALID_ARGUMENT", `${path}: a llama2.c file has no tokenizer; pass one as options.tokenizer`);
    }
    const plan = llama2c ? await readLlama2c(path) : await planRead(path);
    const tokenizer = given ?? (await Tokenizer.load(path));
    const model = Model.allocate(plan.config, tokenizer, rest, plan.source, work?.(plan.config));
    try {
      await model.readWeights(plan);
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /** A model with fresh random weights, a pure function of the seed. */
  static async create(config: ModelConfig, tokenizer: Tokenizer, options: CreateOptions = {}): Promise<Model> {
    const { seed = 0, initializer_range: std = INITIALIZER_RANGE, ...rest } = options;
    const model = Model.allocate(config, tokenizer, rest, {});
    await native(() => model.native.initialize(seed, std));
    return model;
  }

  private static allocate(
    config: ModelConfig,
    tokenizer: Tokenizer,
    given: Partial<ModelOptions>,
    source: Record<string, unknown>,
    job?: PlannedJob,
  ): Model {
    const parsed = parseOptions(modelOptions, given, "model", modelRules);
    const options = { ...parsed, device: resolveDevice(parsed.device) };
    if (isGpu(options.device) && options.threads > 0) {
      fail("ERR_CONFIG", `model: threads has no effect with device ${options.device}, which auto took; leave it out, or `
        + "choose device cpu", { where: "model", options: ["threads"] });
    }
    if (tokenizer.vocabSize > config.vocabSize) {
      fail("ERR_CHECKPOINT", `the tokenizer has ${tokenizer.vocabSize} tokens, the model only ${config.vocabSize} `
        + "(vocab_size): they do not belong together");
    }
    const addon = nativeAddon();
    expectMemoryForModel(config, nativeOptionsOf(options), job);
    const memory = nativeSync(() => new addon.Model(config, nativeOptionsOf(options)));
    return new Model(memory, config, tokenizer, options, source);
  }

  private async readWeights(plan: ReadPlan): Promise<void> {
    for (const { path, entries } of plan.files) {
      await native(() => this.native.read(path, entries)).catch((error: unknown) => {
        // Weights that are no numbers are a fault of the file, not of the call.
        const isFault = codeOf(error) === "ERR_INVALID_ARGUMENT";
        throw isFault ? new SelfRefineError("ERR_CHECKPOINT", messageOf(error), { path }, error) : error;
      });
    }
  }

  /** One line: device, and its instruction set and threads, or its GPU. */
  get description(): string {
    return this.native.description();
  }

  get parameterCount(): number {
    return this.native.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  }

  /** The tokens a row to train on may have: max_length, or as many as the model has positions. */
  longestRow(maxLength: number): number {
    return Math.min(maxLength, this.config.maxPositionEmbeddings);
  }

  get nativeOptions(): NativeModelOptions {
    return nativeOptionsOf(this.options);
  }

  memory(): MemoryRow[] {
    return this.native.memory();
  }

  /** A second model with the same weights, on the same device. */
  async clone(): Promise<Model> {
    const copy = Model.allocate(this.config, this.tokenizer, this.options, this.sourceConfig);
    await native(() => copy.native.copyFrom(this.native));
    return copy;
  }

  /** A hash of all weights: models of one config that differ in any weight have different ones. */
  async fingerprint(): Promise<string> {
    return (await native(() => this.native.fingerprint())).toString(16);
  }

  /**
   * Writes a Hugging Face directory that transformers and vLLM load. The name appears when all of it is on disk.
   * @throws ERR_IO when the directory exists (unless `replace`) or cannot be written
   */
  async save(directory: string, options: { dtype?: DType; replace?: boolean } = {}): Promise<void> {
    const plan = planWrite(this.config, options.dtype ?? this.options.dtype);
    await atomicDirectory(directory, async (temporary) => {
      await writeModelConfig(temporary, this.config, options.dtype ?? this.options.dtype, {
        config: this.sourceConfig, generation: this.tokenizer.source.generationConfig,
      });
      await this.tokenizer.save(temporary);
      const weights = join(temporary, "model.safetensors");
      await native(() => this.native.write(weights, plan.header, plan.entries));
    }, { replace: options.replace ?? false });
  }

  /** Frees the weights now instead of when the collector finds them. */
  dispose(): void {
    this.native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** What of the options the engine is told. */
export function nativeOptionsOf(
  { device, dtype, threads, optim_states: states }: ModelOptions & { device: Device },
): NativeModelOptions {
  return { device, dtype, threads, masters: states === "float32" };
}

/** The same options for a model that will not be trained: it needs no masters. */
export function untrained<T extends Partial<ModelOptions>>(options: T): T & Pick<ModelOptions, "optim_states"> {
  return { ...options, optim_states: options.dtype === "bfloat16" ? "bfloat16" : "float32" };
}

/** The device that an option names: auto is an NVIDIA GPU where one can be used, else the CPU. */
export function resolveDevice(device: ModelOptions["device"]): Device {
  return device === "auto" ? nativeSync(() => nativeAddon().autoDevice()).name : device;
}

/** One line on what auto took and why, or nothing where the user chose. */
export function deviceReason(device: ModelOptions["device"]): string | undefined {
  return device === "auto" ? nativeSync(() => nativeAddon().autoDevice()).description : undefined;
}

/**
 * Where this machine can compute, the fastest first; one that cannot be used says why.
 * @throws ERR_UNSUPPORTED when the addon is not built
 */
export function devices(): DeviceInfo[] {
  return nativeSync(() => nativeAddon().devices());
}
