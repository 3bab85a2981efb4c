// A language model in memory: its weights on a device, its config and its tokenizer, and adapters if it has some.
// Loads and saves Hugging Face directories, PEFT adapters and llama2.c files. It does NOT train or sample; those take a
// Model.
import { extname, join } from "node:path";
import { atomicDirectory, expectPath, holds, recoverSwap } from "./files";
import { baseAt, findBase, type BaseModel } from "./checkpoint/adapter-base";
import { planRead, planWrite, writeModelConfig, type FilePlan } from "./checkpoint/huggingface";
import { readLlama2c } from "./checkpoint/llama2c";
import { modelConfigOf, type HuggingFaceConfig } from "./checkpoint/model-config";
import {
  expectNoDropout, isAdapterDirectory, nativeLora, planAdapterRead, planAdapterWrite, readAdapterConfig,
  writeAdapterConfig, ADAPTER_WEIGHTS,
} from "./checkpoint/peft";
import { isGpu, modelRules } from "./config/effects";
import { loraOptions, modelOptions, TARGET_MODULES, type LoraOptions, type ModelOptions } from "./config/options";
import { parseOptions } from "./config/parse";
import { codeOf, fail, messageOf, SelfRefineError } from "./errors";
import {
  native, nativeAddon, nativeSync, type Device, type DeviceInfo, type DType, type LoraConfig, type MemoryRow,
  type ModelConfig, type NativeModel, type NativeModelOptions,
} from "./native";
import { expectMemoryForModel } from "./plan/memory";
import type { PlannedJob } from "./plan/work";
import { Tokenizer } from "./text/tokenizer";

/** Weights of a fresh model: normal(0, std); 0.02 is the `initializer_range` of the Llama configs. */
const INITIALIZER_RANGE = 0.02;

export interface CreateOptions extends Partial<ModelOptions> {
  seed?: number;
  /** Instead of the config's. */
  initializer_range?: number;
}

/** A fresh adapter: PEFT's options, and the seed its A is drawn with. */
export type FreshLora = Pick<LoraOptions, "r"> & Partial<LoraOptions> & { seed?: number };

export interface LoadOptions extends Partial<ModelOptions> {
  /** For a llama2.c file, which has none of its own. */
  tokenizer?: Tokenizer;
  /** Adapters to be trained instead of the weights; untrained, they change nothing. */
  lora?: FreshLora;
  /** For an adapter's directory: where its base model is, if not where the adapter says. */
  base_model?: string;
  /** What will be done with the model: where there is no room for that, it is not read at all. */
  work?: (config: ModelConfig) => PlannedJob;
}

/** The adapters of a model. */
interface AdapterState {
  lora: LoraOptions;
  /** The weights below them. */
  base: BaseModel;
  /** Dropout that adapter_config.json asks for. */
  dropout: number;
  /** adapter_config.json as it was read. */
  source: Readonly<Record<string, unknown>>;
}

export class Model {
  private constructor(
    readonly native: NativeModel,
    readonly config: ModelConfig,
    readonly tokenizer: Tokenizer,
    readonly options: ModelOptions & { device: Device },
    /** The config.json it came from; unknown keys are kept when it is saved. */
    private readonly sourceConfig: Record<string, unknown>,
    /** The adapters that the engine has, merged or not. */
    private readonly held: AdapterState | null,
    /** The same until they are merged. */
    private adapter: AdapterState | null = held,
    private adapterIsOn = true,
  ) {}

  /**
   * Reads a Hugging Face directory, a llama2.c .bin file with the tokenizer given beside it, or a PEFT adapter's
   * directory with the base model it names.
   * @throws ERR_IO, ERR_CHECKPOINT, ERR_UNSUPPORTED naming the file or tensor; ERR_CONFIG; ERR_OUT_OF_MEMORY
   */
  static async load(path: string, options: LoadOptions = {}): Promise<Model> {
    const { lora, base_model: base, ...rest } = options;
    expectPath(path, "Model.load: path", "the directory of a model");
    await recoverSwap(path);
    if (await isAdapterDirectory(path)) return Model.loadAdapter(path, options);
    if (base !== undefined) {
      fail("ERR_CONFIG", `\`base_model\` has no effect: ${path} is no adapter; leave it out`, { option: "base_model" });
    }
    if (!lora) return Model.loadBase(path, rest, null);
    const { seed = 0, ...given } = lora;
    const parsed = parseOptions(loraOptions, given, "lora");
    const target_modules = TARGET_MODULES.filter((name) => parsed.target_modules.includes(name));
    const adapter = { lora: { ...parsed, target_modules }, base: baseAt(path), dropout: 0, source: {} };
    const model = await Model.loadBase(path, rest, adapter);
    await model.orDispose(() => model.native.initializeAdapter(seed));
    return model;
  }

  private static async loadAdapter(path: string, options: LoadOptions): Promise<Model> {
    const { lora: fresh, base_model: given, ...rest } = options;
    if (fresh) {
      fail("ERR_CONFIG", `\`lora\` has no effect: ${path} is an adapter, which is trained on as it is; leave it out, or merge `
        + "it first (selfrefine merge)", { option: "lora" });
    }
    const { lora, dropout, source, base: named } = await readAdapterConfig(path);
    const base = await findBase(path, named, given);
    // A directory's tokenizer is read with its configs, which name the tokens that end a text.
    const own = rest.tokenizer ?? (extname(base.path) === ".bin" ? await Tokenizer.load(path) : undefined);
    const adapter = { lora, base, dropout, source };
    const model = await Model.loadBase(base.path, { ...rest, ...(own ? { tokenizer: own } : {}) }, adapter);
    await model.orDispose(async () => {
      const plan = await planAdapterRead(path, model.config, lora);
      await model.readWeights([plan]);
    });
    return model;
  }

  private static async loadBase(
    path: string, options: Omit<LoadOptions, "lora" | "base_model">, adapter: AdapterState | null,
  ): Promise<Model> {
    const { tokenizer: given, work, ...rest } = options;
    const llama2c = extname(path) === ".bin";
    if (llama2c && !given) {
      fail("ERR_INVALID_ARGUMENT", `${path}: a llama2.c file has no tokenizer; give one as \`tokenizer\``,
        { option: "tokenizer" });
    }
    const plan = llama2c ? await readLlama2c(path) : await planRead(path);
    const tokenizer = given ?? (await Tokenizer.load(path));
    const model = Model.allocate(plan.config, tokenizer, rest, plan.source, adapter, work?.(plan.config));
    await model.orDispose(() => model.readWeights(plan.files));
    return model;
  }

  /**
   * A model with fresh random weights, a pure function of the seed.
   * @param given the object of a Hugging Face config.json; BOS and EOS are the tokenizer's where it names none
   * @throws ERR_CONFIG naming a key that is missing, misspelt or wrong; ERR_UNSUPPORTED; ERR_OUT_OF_MEMORY
   */
  static async create(given: HuggingFaceConfig, tokenizer: Tokenizer, options: CreateOptions = {}): Promise<Model> {
    if (typeof (tokenizer as Partial<Tokenizer> | undefined)?.vocabSize !== "number") {
      fail("ERR_INVALID_ARGUMENT", "Model.create: the second argument is no Tokenizer; Tokenizer.load reads one, trainBpe "
        + "and Tokenizer.fromJson make one", { option: "tokenizer" });
    }
    const { seed = 0, initializer_range: std = given?.initializer_range ?? INITIALIZER_RANGE, ...rest } = options;
    const parsed = modelConfigOf(given);
    const config = {
      ...parsed,
      bosTokenId: given.bos_token_id === undefined ? tokenizer.bosId : parsed.bosTokenId,
      eosTokenIds: given.eos_token_id === undefined ? [...tokenizer.eosIds] : parsed.eosTokenIds,
    };
    const model = Model.allocate(config, tokenizer, rest, { ...given, initializer_range: std }, null);
    await model.orDispose(() => model.native.initialize(seed, std));
    return model;
  }

  private static allocate(
    config: ModelConfig,
    tokenizer: Tokenizer,
    given: Partial<ModelOptions>,
    source: Record<string, unknown>,
    adapter: AdapterState | null,
    job?: PlannedJob,
  ): Model {
    const parsed = parseOptions(modelOptions, given, "model", modelRules);
    const options = { ...parsed, device: resolveDevice(parsed.device) };
    if (isGpu(options.device) && options.threads > 0) {
      fail("ERR_CONFIG", `\`model.threads\` has no effect with \`model.device\` ${options.device}, which auto took; leave it `
        + "out, or choose `model.device` cpu", { where: "model", options: ["threads"] });
    }
    if (tokenizer.vocabSize > config.vocabSize) {
      fail("ERR_CHECKPOINT", `the tokenizer has ${tokenizer.vocabSize} tokens, the model only ${config.vocabSize} `
        + "(vocab_size): they do not belong together");
    }
    const addon = nativeAddon();
    const lora = adapter ? nativeLora(adapter.lora) : null;
    expectMemoryForModel(config, nativeOptionsOf(options, lora), job);
    const memory = nativeSync(() => new addon.Model(config, nativeOptionsOf(options, lora)));
    return new Model(memory, config, tokenizer, options, source, adapter);
  }

  /** Runs the last part of making a model; what it made so far goes if that fails. */
  private async orDispose(work: () => Promise<unknown>): Promise<void> {
    try {
      await native(work);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  private async readWeights(files: readonly FilePlan[]): Promise<void> {
    for (const { path, entries } of files) {
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

  /** The options of its adapters; null without, and once they are merged. */
  get lora(): LoraOptions | null {
    return this.adapter?.lora ?? null;
  }

  /** Where the weights below its adapters were read from; null without adapters. */
  get base(): string | null {
    return this.adapter?.base.path ?? null;
  }

  /** Parameters that training changes: those of the adapters, or all. */
  get trainableCount(): number {
    const trained = this.adapter ? this.native.adapterParameters() : this.native.parameters();
    return trained.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  }

  /** "1,000 parameters", with those of adapters apart. */
  get size(): string {
    const text = (count: number) => count.toLocaleString("en-US");
    const all = `${text(this.parameterCount)} parameters`;
    return this.adapter ? `${all}, ${text(this.trainableCount)} of adapters (r ${this.adapter.lora.r})` : all;
  }

  /** To call before training. @throws ERR_UNSUPPORTED for what a trained adapter would not be like; ERR_CONFIG */
  expectTrainable(): void {
    if (!this.adapter) return;
    if (!this.adapterIsOn) fail("ERR_UNSUPPORTED", "the adapter is switched off; switch it on to train it");
    expectStatesOfAdapters(this.options);
    expectNoDropout(this.adapter.dropout);
  }

  /** Switches the adapters off and on: off, the model computes as its base does. @throws ERR_UNSUPPORTED without any */
  useAdapter(on: boolean): void {
    nativeSync(() => this.native.useAdapter(on));
    this.adapterIsOn = on;
  }

  /**
   * Does one call of the engine with the adapters off. Nobody else finds them so: the call keeps the model busy.
   * @throws ERR_UNSUPPORTED without any; ERR_BUSY; what the call throws
   */
  async asBase<T>(call: () => Promise<T>): Promise<T> {
    const wasOn = this.adapterIsOn;
    this.useAdapter(false);
    try {
      return await call();
    } finally {
      this.useAdapter(wasOn);
    }
  }

  /**
   * Adds the adapters to the weights, in float32, then rounded to the storage type. The model is then one without
   * adapters, to be sampled, scored and saved whole; to train it, load what was saved.
   * @throws ERR_UNSUPPORTED for a model without adapters; ERR_OUT_OF_MEMORY, and the model, half merged, is disposed of
   */
  async merge(): Promise<void> {
    await native(() => this.native.merge()).catch((error: unknown) => {
      if (codeOf(error) === "ERR_OUT_OF_MEMORY") this.dispose();
      throw error;
    });
    this.adapter = null;
  }

  /** The tokens a row to train on may have: max_length, or as many as the model has positions. */
  longestRow(maxLength: number): number {
    return Math.min(maxLength, this.config.maxPositionEmbeddings);
  }

  get nativeOptions(): NativeModelOptions {
    return nativeOptionsOf(this.options, this.held && nativeLora(this.held.lora));
  }

  memory(): MemoryRow[] {
    return this.native.memory();
  }

  /** A second model with the same weights, on the same device. */
  async clone(): Promise<Model> {
    const copy = Model.allocate(this.config, this.tokenizer, this.options, this.sourceConfig, this.held);
    await copy.orDispose(() => copy.native.copyFrom(this.native));
    copy.adapter = this.adapter;
    copy.adapterIsOn = this.adapterIsOn;
    return copy;
  }

  /** A hash of all weights: models of one config that differ in any weight have different ones. */
  async fingerprint(): Promise<string> {
    return (await native(() => this.native.fingerprint())).toString(16);
  }

  /**
   * Writes a Hugging Face directory that transformers and vLLM load; of a model with adapters a PEFT directory, which
   * names its base model: on the hub as the adapter that was read did, else by its path. The directory appears when all
   * of it is on disk.
   * @param options `dtype` of the file: by default that of the model, and float32 for adapters. `location`: where the
   * directory will lie in the end, if not there: an adapter keeps the way to its base from there.
   * @throws ERR_IO when the directory exists (unless `replace`) or cannot be written; ERR_CONFIG as expectBaseStays
   */
  async save(
    directory: string, options: { dtype?: DType; replace?: boolean; location?: string } = {},
  ): Promise<void> {
    await this.expectBaseStays(directory);
    await atomicDirectory(directory, async (temporary) => {
      await this.tokenizer.save(temporary);
      if (this.adapter) await this.writeAdapter(temporary, this.adapter, options.location ?? directory, options.dtype);
      else await this.writeWhole(temporary, options.dtype ?? this.options.dtype);
    }, { replace: options.replace ?? false });
  }

  /** @throws ERR_CONFIG when a model in this directory's place would take away the base that the adapters need */
  async expectBaseStays(directory: string): Promise<void> {
    if (!this.adapter || !(await holds(directory, this.adapter.base.path))) return;
    fail("ERR_CONFIG", `${directory} is or holds the base model that the adapter needs (${this.adapter.base.path}); choose `
      + "another directory", { option: "output" });
  }

  private async writeWhole(directory: string, dtype: DType): Promise<void> {
    const plan = planWrite(this.config, dtype);
    await writeModelConfig(directory, this.config, dtype, {
      config: this.sourceConfig, generation: this.tokenizer.source.generationConfig,
    });
    await native(() => this.native.write(join(directory, "model.safetensors"), plan.header, plan.entries));
  }

  private async writeAdapter(
    directory: string, state: AdapterState, location: string, dtype: DType = "float32",
  ): Promise<void> {
    const plan = planAdapterWrite(this.config, state.lora, dtype);
    await writeAdapterConfig(directory, state, location);
    await native(() => this.native.write(join(directory, ADAPTER_WEIGHTS), plan.header, plan.entries));
    if (this.adapter !== state) fail("ERR_BUSY", "save: the adapter was merged while it was written; save the model again");
  }

  /** Frees the weights now instead of when the collector finds them. */
  dispose(): void {
    this.native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Adapters, which are small, always have float32 states. @throws ERR_CONFIG for states that would have no effect */
export function expectStatesOfAdapters({ optim_states: states }: Pick<ModelOptions, "optim_states">): void {
  if (states === "float32") return;
  fail("ERR_CONFIG", `\`optim_states\` ${states} has no effect on adapters, whose states are float32; leave it out`,
    { option: "optim_states" });
}

/** What of the options the engine is told. */
export function nativeOptionsOf(
  { device, dtype, threads, optim_states: states }: ModelOptions & { device: Device }, lora: LoraConfig | null,
): NativeModelOptions {
  return { device, dtype, threads, masters: states === "float32", lora };
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
