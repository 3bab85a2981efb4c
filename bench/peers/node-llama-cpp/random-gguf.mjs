// A Llama checkpoint with random weights as a GGUF v3 file, from a Hugging Face config.json.
// The decoding peer needs a model of the bench's size, and none may be downloaded. Weights are seeded; the vocabulary
// is nominal (control tokens, bytes, numbered words). It does not know who reads the file.
import { closeSync, openSync, writeSync } from "node:fs";

const TYPE = { uint32: 4, int32: 5, float32: 6, string: 8, array: 9 }; // GGUF metadata value types
const ENCODING = { // ggml tensor type, general.file_type, bytes per element
  float32: { tensorType: 0, fileType: 0, bytes: 4 },
  float16: { tensorType: 1, fileType: 1, bytes: 2 },
  bfloat16: { tensorType: 30, fileType: 32, bytes: 2 },
};
const ALIGNMENT = 32;
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 };
const CONTROL_TOKENS = ["<unk>", "<s>", "</s>"];

const uint32 = (value) => Buffer.from(new Uint32Array([value]).buffer);
const float32 = (value) => Buffer.from(new Float32Array([value]).buffer);
const uint64 = (value) => Buffer.from(new BigUint64Array([BigInt(value)]).buffer);
const string = (text) => Buffer.concat([uint64(Buffer.byteLength(text)), Buffer.from(text)]);
const array = (type, items) => Buffer.concat([uint32(type), uint64(items.length), ...items]);

export const dtypes = Object.keys(ENCODING);

/** Writes the file; throws with the reason where the config is not a Llama that GGUF's "llama" can express. */
export function writeRandomGguf(path, config, dtype, seed) {
  check(config);
  const tensors = tensorTable(config, dtype);
  const metadata = metadataOf(config, dtype);
  const parts = [Buffer.from("GGUF"), uint32(3), uint64(tensors.length), uint64(metadata.length)];
  for (const [key, type, value] of metadata) parts.push(string(key), uint32(type), value);
  let offset = 0;
  for (const { name, shape, encoding } of tensors) {
    parts.push(string(name), uint32(shape.length), ...shape.map(uint64), uint32(encoding.tensorType), uint64(offset));
    offset += aligned(elements(shape) * encoding.bytes);
  }
  const file = openSync(path, "w");
  try {
    const header = Buffer.concat(parts);
    writeAll(file, padded(header));
    const noise = new Noise(ENCODING[dtype], config.initializer_range, seed);
    for (const tensor of tensors) writeAll(file, padded(tensorData(tensor, noise)));
  } finally {
    closeSync(file);
  }
}

function check(config) {
  if (config.model_type !== "llama") throw new Error(`config: model_type is "${config.model_type}", expected "llama"`);
  const least = CONTROL_TOKENS.length + 256;
  if (config.vocab_size < least) throw new Error(`config: vocab_size is ${config.vocab_size}, expected ${least} or more`);
}

/** Shapes in ggml's order: the contiguous dimension first. Norms stay float32, as llama.cpp wants them. */
function tensorTable(config, dtype) {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocab } = config;
  const headDim = headDimension(config);
  const query = config.num_attention_heads * headDim;
  const key = config.num_key_value_heads * headDim;
  const matrix = (name, ...shape) => ({ name: `${name}.weight`, shape, encoding: ENCODING[dtype] });
  const norm = (name) => ({ name: `${name}.weight`, shape: [hidden], encoding: ENCODING.float32 });
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => [
    norm(`blk.${layer}.attn_norm`), matrix(`blk.${layer}.attn_q`, hidden, query),
    matrix(`blk.${layer}.attn_k`, hidden, key), matrix(`blk.${layer}.attn_v`, hidden, key),
    matrix(`blk.${layer}.attn_output`, query, hidden), norm(`blk.${layer}.ffn_norm`),
    matrix(`blk.${layer}.ffn_gate`, hidden, inner), matrix(`blk.${layer}.ffn_up`, hidden, inner),
    matrix(`blk.${layer}.ffn_down`, inner, hidden),
  ]);
  const head = config.tie_word_embeddings ? [] : [matrix("output", hidden, vocab)];
  return [matrix("token_embd", hidden, vocab), ...layers.flat(), norm("output_norm"), ...head];
}

function metadataOf(config, dtype) {
  const headDim = headDimension(config);
  const number = (key, value) => [`llama.${key}`, TYPE.uint32, uint32(value)];
  return [
    ["general.architecture", TYPE.string, string("llama")],
    ["general.file_type", TYPE.uint32, uint32(ENCODING[dtype].fileType)],
    number("context_length", config.max_position_embeddings), number("embedding_length", config.hidden_size),
    number("block_count", config.num_hidden_layers), number("feed_forward_length", config.intermediate_size),
    number("attention.head_count", config.num_attention_heads), number("vocab_size", config.vocab_size),
    number("attention.head_count_kv", config.num_key_value_heads), number("rope.dimension_count", headDim),
    number("attention.key_length", headDim), number("attention.value_length", headDim),
    ["llama.attention.layer_norm_rms_epsilon", TYPE.float32, float32(config.rms_norm_eps)],
    ["llama.rope.freq_base", TYPE.float32, float32(config.rope_theta)],
    ...vocabulary(config.vocab_size),
  ];
}

function vocabulary(size) {
  const tokens = CONTROL_TOKENS.map((text, id) => [text, id === 0 ? TOKEN_TYPE.unknown : TOKEN_TYPE.control]);
  for (let byte = 0; byte < 256; byte++) {
    tokens.push([`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, TOKEN_TYPE.byte]);
  }
  while (tokens.length < size) tokens.push([`\u2581w${tokens.length}`, TOKEN_TYPE.normal]);
  return [
    ["tokenizer.ggml.model", TYPE.string, string("llama")],
    ["tokenizer.ggml.tokens", TYPE.array, array(TYPE.string, tokens.map(([text]) => string(text)))],
    ["tokenizer.ggml.scores", TYPE.array, array(TYPE.float32, tokens.map((_, id) => float32(-id)))],
    ["tokenizer.ggml.token_type", TYPE.array, array(TYPE.int32, tokens.map(([, type]) => uint32(type)))],
    ["tokenizer.ggml.unknown_token_id", TYPE.uint32, uint32(0)],
    ["tokenizer.ggml.bos_token_id", TYPE.uint32, uint32(1)],
    ["tokenizer.ggml.eos_token_id", TYPE.uint32, uint32(2)],
  ];
}

/** Norms are ones. The embeddings of the control tokens are zero, so that greedy decoding never ends. */
function tensorData({ name, shape, encoding }, noise) {
  if (shape.length === 1) return Buffer.from(new Float32Array(elements(shape)).fill(1).buffer);
  const data = Buffer.alloc(elements(shape) * encoding.bytes);
  noise.fill(data);
  const isVocabulary = name === "token_embd.weight" || name === "output.weight";
  return isVocabulary ? data.fill(0, 0, CONTROL_TOKENS.length * shape[0] * encoding.bytes) : data;
}

/** A million encoded values, about N(0, deviation), laid out over each tensor from random starts: quick to make. */
class Noise {
  constructor(encoding, deviation, seed) {
    this.random = xorshift(seed);
    this.bytes = encoding.bytes;
    const values = Float32Array.from({ length: 1 << 20 }, () => deviation * this.normal());
    const bits = new Uint32Array(values.buffer);
    if (encoding === ENCODING.float32) this.block = Buffer.from(values.buffer);
    else this.block = Buffer.from(Uint16Array.from(bits, encoding === ENCODING.float16 ? half : brain).buffer);
  }

  /** Four uniforms, summed and scaled to unit variance. */
  normal() {
    return (this.random() + this.random() + this.random() + this.random() - 2) * Math.sqrt(3);
  }

  fill(data) {
    for (let done = 0; done < data.length;) {
      const start = Math.floor(this.random() * (1 << 20)) * this.bytes;
      done += this.block.copy(data, done, start);
    }
  }
}

// Both truncate: a random weight has no true value that rounding would keep. Halves below the normal range become 0.
const brain = (bits) => bits >>> 16;
function half(bits) {
  const exponent = ((bits >>> 23) & 255) - 112;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 1023);
}

/** Uniform numbers in [0, 1) of a 32-bit xorshift. */
function xorshift(seed) {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const headDimension = (config) => config.head_dim ?? config.hidden_size / config.num_attention_heads;
const elements = (shape) => shape.reduce((product, size) => product * size, 1);
const aligned = (bytes) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const padded = (buffer) => Buffer.concat([buffer], aligned(buffer.length));

function writeAll(file, buffer) {
  for (let done = 0; done < buffer.length;) done += writeSync(file, buffer, done);
}
