// config.json of Hugging Face <-> the shape of our decoder, for the Llama family: Llama, Mistral, Qwen2, Qwen3.
// What the engine does not compute is refused with its name: a model that loads and computes something else is the
// worst outcome. It does NOT touch weights, nor generation_config.json.
import { nearestName } from "../config/names";
import { fail, type ErrorCode } from "../errors";
import type { ModelConfig, RopeScaling } from "../native";

export type Json = Readonly<Record<string, unknown>>;

/** The object of a Hugging Face config.json: the keys that are read here. Any others are kept when a model is saved. */
export interface HuggingFaceConfig {
  /** "llama", "mistral", "qwen2" or "qwen3"; not needed beside `architectures`. */
  model_type?: string;
  architectures?: readonly string[];
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** null: as many as num_attention_heads; left out: what the class of transformers has. */
  num_key_value_heads?: number | null;
  head_dim?: number | null;
  hidden_act?: string;
  rms_norm_eps?: number;
  max_position_embeddings?: number;
  rope_theta?: number;
  rope_scaling?: object | null;
  /** Both of the former, as transformers 5 writes them. */
  rope_parameters?: object | null;
  attention_bias?: boolean;
  mlp_bias?: boolean;
  sliding_window?: number | null;
  use_sliding_window?: boolean;
  max_window_layers?: number;
  layer_types?: readonly string[] | null;
  tie_word_embeddings?: boolean;
  bos_token_id?: number | null;
  eos_token_id?: number | readonly number[] | null;
  /** Standard deviation of fresh weights. */
  initializer_range?: number;
}

/** Keys a misspelt one may have meant; typed so that none is forgotten. */
const READ_KEYS = Object.keys({
  model_type: 0, architectures: 0, vocab_size: 0, hidden_size: 0, intermediate_size: 0, num_hidden_layers: 0,
  num_attention_heads: 0, num_key_value_heads: 0, head_dim: 0, hidden_act: 0, rms_norm_eps: 0,
  max_position_embeddings: 0, rope_theta: 0, rope_scaling: 0, rope_parameters: 0, attention_bias: 0, mlp_bias: 0,
  sliding_window: 0, use_sliding_window: 0, max_window_layers: 0, layer_types: 0, tie_word_embeddings: 0,
  bos_token_id: 0, eos_token_id: 0, initializer_range: 0,
} satisfies Record<keyof HuggingFaceConfig, 0>);

/** Keys of transformers that look like a misspelling of one of those. */
const OTHER_IDS = ["pad_token_id", "sep_token_id", "cls_token_id", "unk_token_id", "mask_token_id"];

/** What differs between the classes of transformers: names, and the defaults of keys a config may leave out. */
interface Architecture {
  readonly modelType: string;
  readonly keyValueHeads: number | null;
  readonly headDim: number | null;
  readonly maxPositions: number;
  readonly attentionBias: boolean;
  readonly qkNorm: boolean;
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  LlamaForCausalLM: {
    modelType: "llama", keyValueHeads: null, headDim: null, maxPositions: 2048, attentionBias: false, qkNorm: false,
  },
  MistralForCausalLM: {
    modelType: "mistral", keyValueHeads: 8, headDim: null, maxPositions: 131072, attentionBias: false, qkNorm: false,
  },
  Qwen2ForCausalLM: {
    modelType: "qwen2", keyValueHeads: 32, headDim: null, maxPositions: 32768, attentionBias: true, qkNorm: false,
  },
  Qwen3ForCausalLM: {
    modelType: "qwen3", keyValueHeads: 32, headDim: 128, maxPositions: 32768, attentionBias: false, qkNorm: true,
  },
};

/** Bounds before anything is laid out: a file that asks for more than any model has is refused, not attempted. */
const MAX_SIZE = 2 ** 31 - 1;
export const MAX_LAYERS = 4096;

/** A config.json with the file's name, so that every complaint says where; `code` is that of a wrong value. */
class Source {
  constructor(readonly json: Json, readonly path: string, readonly code: ErrorCode) {}

  wrong(key: string, wanted: string): never {
    const got = JSON.stringify(this.json[key]) ?? "missing";
    return fail(this.code, `${this.path}: ${key} is ${got}, ${wanted} is wanted`, { path: this.path, key });
  }

  unsupported(what: string): never {
    return fail("ERR_UNSUPPORTED", `${this.path}: ${what} is not supported`, { path: this.path });
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null;
  }

  size(key: string, fallback?: number, most = MAX_SIZE): number {
    const value = this.has(key) ? this.json[key] : fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= most) return value as number;
    return this.wrong(key, `a whole number from 1 to ${most}`);
  }

  positive(key: string, fallback: number): number {
    const value = this.has(key) ? this.json[key] : fallback;
    if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
    return this.wrong(key, "a positive number");
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.has(key) ? this.json[key] : fallback;
    return typeof value === "boolean" ? value : this.wrong(key, "true or false");
  }
}

function architectureOf(source: Source): Architecture {
  const listed = source.json.architectures;
  const name: unknown = Array.isArray(listed) ? listed[0] : undefined;
  if (typeof name === "string" && Object.hasOwn(ARCHITECTURES, name)) return ARCHITECTURES[name]!;
  const byType = Object.values(ARCHITECTURES).find(({ modelType }) => modelType === source.json.model_type);
  if (name === undefined && byType) return byType;
  return source.unsupported(`the architecture ${JSON.stringify(name ?? source.json.model_type) ?? "(none given)"}; `
    + `of ${Object.keys(ARCHITECTURES).join(", ")} each is, any other`);
}

function refuseWhatIsNotComputed(source: Source, architecture: Architecture): void {
  const { json } = source;
  const act = json.hidden_act ?? "silu";
  if (act !== "silu") source.unsupported(`hidden_act ${JSON.stringify(act)} (only silu is computed)`);
  // Qwen2 has its query, key and value biases always; in the others the key adds one to o_proj too.
  if (json.attention_bias === true && !architecture.attentionBias) {
    source.unsupported("attention_bias true, a bias on o_proj,");
  }
  if (json.mlp_bias === true) source.unsupported("mlp_bias true");
  if (source.has("quantization_config")) source.unsupported("a quantized checkpoint (quantization_config)");
  const experts = ["num_experts", "num_local_experts", "n_routed_experts"].find((key) => source.has(key));
  if (experts) source.unsupported(`a mixture of experts (${experts})`);
}

interface Rope {
  readonly theta: number;
  readonly scaling: RopeScaling | null;
}

/** Old form: rope_theta and rope_scaling. New form (transformers 5): both in rope_parameters. */
function ropeOf(source: Source): Rope {
  const parameters = source.json.rope_parameters ?? source.json.rope_scaling ?? {};
  if (typeof parameters !== "object" || parameters === null || Array.isArray(parameters)) {
    return source.wrong("rope_parameters", "an object");
  }
  const rope = new Source({ rope_theta: source.json.rope_theta, ...parameters }, `${source.path}: rope`, source.code);
  const partial = rope.json.partial_rotary_factor ?? source.json.partial_rotary_factor ?? 1;
  if (partial !== 1) source.unsupported(`partial_rotary_factor ${JSON.stringify(partial)}`);
  return { theta: rope.positive("rope_theta", 10000), scaling: scalingOf(rope, source) };
}

function scalingOf(rope: Source, source: Source): RopeScaling | null {
  const type = rope.json.rope_type ?? rope.json.type ?? "default";
  const required = (key: string) => (rope.has(key) ? rope.positive(key, 1) : rope.wrong(key, "a positive number"));
  switch (type) {
    case "default": return null;
    case "linear": return { type: "linear", factor: required("factor") };
    case "llama3": return {
      type: "llama3",
      factor: required("factor"),
      lowFreqFactor: required("low_freq_factor"),
      highFreqFactor: required("high_freq_factor"),
      originalMaxPositionEmbeddings: required("original_max_position_embeddings"),
    };
    default: return source.unsupported(`RoPE scaling of type ${JSON.stringify(type)} (default, linear and llama3 are)`);
  }
}

/** Which layers slide, in the three ways the classes say it. Layers of two kinds in one model are not computed. */
function slidingWindowOf(source: Source, { modelType }: Architecture, layers: number): number | null {
  if (modelType === "llama") return null;
  const kinds = source.json.layer_types;
  if (Array.isArray(kinds) && kinds.length > 0) {
    if (kinds.some((kind) => kind !== kinds[0])) source.unsupported("layers of several layer_types");
    if (kinds[0] === "full_attention") return null;
    return kinds[0] === "sliding_attention" ? source.size("sliding_window")
      : source.unsupported(`layer_types ${JSON.stringify(kinds[0])}`);
  }
  if (modelType === "mistral") return source.has("sliding_window") ? source.size("sliding_window") : null;
  // Qwen: layers from max_window_layers on slide.
  if (!source.flag("use_sliding_window", false) || !source.has("sliding_window")) return null;
  const first = (source.json.max_window_layers ?? 28) as number;
  if (first >= layers) return null;
  return first === 0 ? source.size("sliding_window")
    : source.unsupported(`use_sliding_window with max_window_layers ${first} of ${layers} layers`);
}

/** An id, a list of ids or nothing; a negative one stands for nothing. */
export function tokenIds(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value])
    .filter((id): id is number => Number.isInteger(id) && (id as number) >= 0);
}

function checkHeads(source: Source, config: ModelConfig): void {
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    source.wrong("num_key_value_heads", `a divisor of num_attention_heads (${config.numAttentionHeads})`);
  }
  if (config.headDim % 2 !== 0) source.wrong("head_dim", `an even number (it is ${config.headDim})`);
}

/**
 * The decoder a config.json describes. @throws ERR_UNSUPPORTED naming what is not computed, ERR_CHECKPOINT naming a key
 * whose value is missing or wrong (or another `code`, where it is no file's)
 */
export function parseModelConfig(json: Json, path = "config.json", code: ErrorCode = "ERR_CHECKPOINT"): ModelConfig {
  const source = new Source(json, path, code);
  const architecture = architectureOf(source);
  refuseWhatIsNotComputed(source, architecture);
  const hiddenSize = source.size("hidden_size");
  const heads = source.size("num_attention_heads");
  const layers = source.size("num_hidden_layers", undefined, MAX_LAYERS);
  const headDim = source.size("head_dim", architecture.headDim ?? hiddenSize / heads);
  const rope = ropeOf(source);
  const config: ModelConfig = {
    vocabSize: source.size("vocab_size"),
    hiddenSize,
    intermediateSize: source.size("intermediate_size"),
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    // An explicit null means "as many as query heads", an absent key the class's default.
    numKeyValueHeads: source.size("num_key_value_heads",
      json.num_key_value_heads === null ? heads : architecture.keyValueHeads ?? heads),
    headDim,
    rmsNormEps: source.positive("rms_norm_eps", 1e-6),
    ropeTheta: rope.theta,
    ropeScaling: rope.scaling,
    ropeInterleaved: false,
    tieWordEmbeddings: source.flag("tie_word_embeddings", false),
    attentionBias: architecture.attentionBias,
    qkNorm: architecture.qkNorm,
    slidingWindow: slidingWindowOf(source, architecture, layers),
    maxPositionEmbeddings: source.size("max_position_embeddings", architecture.maxPositions),
    bosTokenId: tokenIds(json.bos_token_id)[0] ?? null,
    eosTokenIds: tokenIds(json.eos_token_id),
  };
  checkHeads(source, config);
  return config;
}

/** A file may hold any key; in a program's object one that is close to a key which is not there is a slip. */
function refuseMisspelt(json: Json): void {
  const missing = READ_KEYS.filter((key) => !Object.hasOwn(json, key));
  for (const key of Object.keys(json).filter((name) => !READ_KEYS.includes(name) && !OTHER_IDS.includes(name))) {
    const near = nearestName(key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), missing);
    if (near !== undefined) fail("ERR_CONFIG", `config: no such key as ${key}; did you mean ${near}?`, { key });
  }
}

/**
 * The decoder that a program's object describes, as parseModelConfig of a file with the same keys. @throws ERR_CONFIG
 * naming a key that is missing, misspelt or wrong; ERR_UNSUPPORTED
 */
export function modelConfigOf(given: HuggingFaceConfig): ModelConfig {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    fail("ERR_CONFIG", `config is ${JSON.stringify(given)}, wanted the object of a Hugging Face config.json`);
  }
  const json = { ...given };
  refuseMisspelt(json);
  new Source(json, "config", "ERR_CONFIG").positive("initializer_range", 1);
  return parseModelConfig(json, "config", "ERR_CONFIG");
}

/** The class of transformers that computes this decoder. @throws ERR_UNSUPPORTED when none does */
function classOf(config: ModelConfig): string {
  if (config.qkNorm && config.attentionBias) {
    fail("ERR_UNSUPPORTED", "no Hugging Face class has both query/key norms and query/key/value biases alone");
  }
  if (config.qkNorm) return "Qwen3ForCausalLM";
  if (config.attentionBias) return "Qwen2ForCausalLM";
  return config.slidingWindow === null ? "LlamaForCausalLM" : "MistralForCausalLM";
}

function scalingJson(scaling: RopeScaling | null): Json | null {
  if (scaling === null) return null;
  if (scaling.type === "linear") return { rope_type: "linear", type: "linear", factor: scaling.factor };
  return {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
  };
}

function slidingJson(config: ModelConfig, modelType: string, source: Json): Json {
  if (modelType === "llama") return {};
  const slides = config.slidingWindow !== null;
  const kind = slides ? "sliding_attention" : "full_attention";
  const kinds = "layer_types" in source ? { layer_types: new Array<string>(config.numHiddenLayers).fill(kind) } : {};
  if (modelType === "mistral") return { sliding_window: config.slidingWindow, ...kinds };
  return {
    use_sliding_window: slides,
    sliding_window: config.slidingWindow,
    max_window_layers: slides ? 0 : config.numHiddenLayers,
    ...kinds,
  };
}

function ropeJson(config: ModelConfig, source: Json): Json {
  const scaling = scalingJson(config.ropeScaling);
  const old = { rope_theta: config.ropeTheta, rope_scaling: scaling };
  if (!("rope_parameters" in source)) return old;
  return { ...old, rope_parameters: { rope_type: "default", ...scaling, rope_theta: config.ropeTheta } };
}

/** One id as a number, several as a list, none as null. */
export function idsJson(ids: readonly number[]): number | readonly number[] | null {
  return ids.length > 1 ? ids : ids[0] ?? null;
}

/**
 * A config.json for transformers and vLLM. Keys of `source` that the decoder's shape does not decide are kept; the
 * class is the source's where it computes this decoder. RoPE is written in the old form, which all versions read.
 */
export function modelConfigJson(config: ModelConfig, dtype: "float32" | "bfloat16", source: Json = {}): Json {
  const needed = classOf(config);
  const given: unknown = Array.isArray(source.architectures) ? source.architectures[0] : undefined;
  // Mistral without a window computes what Llama does: a Mistral stays one.
  const keep = given === "MistralForCausalLM" && needed === "LlamaForCausalLM";
  const name = keep ? given : needed;
  const { modelType } = ARCHITECTURES[name]!;
  const biasFlags = modelType === "llama" ? { attention_bias: false, mlp_bias: false }
    : modelType === "qwen3" ? { attention_bias: false } : {};
  return {
    ...source,
    architectures: [name],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    rms_norm_eps: config.rmsNormEps,
    max_position_embeddings: config.maxPositionEmbeddings,
    ...ropeJson(config, source),
    ...slidingJson(config, modelType, source),
    ...biasFlags,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: config.bosTokenId,
    eos_token_id: idsJson(config.eosTokenIds),
    initializer_range: source.initializer_range ?? 0.02,
    use_cache: source.use_cache ?? true,
    torch_dtype: dtype,
    ...("dtype" in source ? { dtype } : {}),
  };
}
