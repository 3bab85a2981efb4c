// llama2.c's version 0 .bin files: seven int32, then all weights in fp32, each kind for all layers together.
// Source of the layout: karpathy/llama2.c, run.c (memory_map_weights). It does NOT know the tokenizer beside it.
import { open } from "node:fs/promises";
import { fail } from "../errors";
import { ioError } from "../files";
import type { ModelConfig, TensorEntry } from "../native";
import { MAX_LAYERS } from "./model-config";
import type { ReadPlan } from "./huggingface";

const HEADER_BYTES = 28;
const FLOAT_BYTES = 4;

async function readStart(path: string): Promise<{ header: Int32Array; fileSize: number }> {
  const handle = await open(path, "r").catch((error: unknown) => Promise.reject(ioError(error, "read", path)));
  try {
    const bytes = Buffer.alloc(HEADER_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, HEADER_BYTES, 0);
    if (bytesRead < HEADER_BYTES) {
      fail("ERR_CHECKPOINT", `${path}: ${bytesRead} bytes are too few for a llama2.c file`, { path });
    }
    const header = Int32Array.from({ length: 7 }, (_, i) => bytes.readInt32LE(4 * i));
    return { header, fileSize: (await handle.stat()).size };
  } finally {
    await handle.close();
  }
}

function parseConfig(header: Int32Array, path: string): ModelConfig {
  const [hiddenSize, intermediateSize, layers, heads, keyValueHeads, vocab, positions] = header as unknown as
    [number, number, number, number, number, number, number];
  const sizes = [hiddenSize, intermediateSize, layers, heads, keyValueHeads, Math.abs(vocab), positions];
  const plausible = sizes.every((size) => size > 0 && size < 1 << 24) && layers <= MAX_LAYERS
    && hiddenSize % heads === 0 && (hiddenSize / heads) % 2 === 0 && heads % keyValueHeads === 0;
  if (!plausible) {
    fail("ERR_CHECKPOINT", `${path}: the header [${[...header].join(", ")}] is not that of a llama2.c version 0 file`,
      { path });
  }
  return {
    vocabSize: Math.abs(vocab),
    hiddenSize,
    intermediateSize,
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: keyValueHeads,
    headDim: hiddenSize / heads,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ropeScaling: null,
    ropeInterleaved: true,
    tieWordEmbeddings: vocab > 0, // a negative size marks a head of its own
    attentionBias: false,
    qkNorm: false,
    slidingWindow: null,
    maxPositionEmbeddings: positions,
    bosTokenId: 1,
    // These models were trained on texts divided by BOS: drawing it means the text is over (run.c, generate).
    eosTokenIds: [1, 2],
  };
}

/** Walks through the file, naming each run of rows. */
class Cursor {
  readonly entries: TensorEntry[] = [];
  at = HEADER_BYTES;

  add(parameter: string, rows: number, columns = 1, rowOffset = 0): void {
    this.entries.push({ parameter, rowOffset, rows, fileOffset: this.at, dtype: "F32" });
    this.skip(rows * columns);
  }

  skip(floats: number): void {
    this.at += FLOAT_BYTES * floats;
  }
}

function layOut(config: ModelConfig): Cursor {
  const { hiddenSize: c, intermediateSize: f, vocabSize: v, headDim: d } = config;
  const queries = config.numAttentionHeads * d;
  const keys = config.numKeyValueHeads * d;
  const cursor = new Cursor();
  const layers = (add: (name: string) => void) => {
    for (let layer = 0; layer < config.numHiddenLayers; layer++) add(`model.layers.${layer}`);
  };
  cursor.add("model.embed_tokens.weight", v, c);
  layers((name) => cursor.add(`${name}.input_layernorm.weight`, c));
  layers((name) => cursor.add(`${name}.self_attn.qkv_proj.weight`, queries, c, 0));
  layers((name) => cursor.add(`${name}.self_attn.qkv_proj.weight`, keys, c, queries));
  layers((name) => cursor.add(`${name}.self_attn.qkv_proj.weight`, keys, c, queries + keys));
  layers((name) => cursor.add(`${name}.self_attn.o_proj.weight`, c, queries));
  layers((name) => cursor.add(`${name}.post_attention_layernorm.weight`, c));
  layers((name) => cursor.add(`${name}.mlp.gate_up_proj.weight`, f, c, 0));
  layers((name) => cursor.add(`${name}.mlp.down_proj.weight`, c, f));
  layers((name) => cursor.add(`${name}.mlp.gate_up_proj.weight`, f, c, f));
  cursor.add("model.norm.weight", c);
  cursor.skip(config.maxPositionEmbeddings * d); // cosines, then sines, of half a head each: computed, not read
  if (!config.tieWordEmbeddings) cursor.add("lm_head.weight", v, c);
  return cursor;
}

/** Plans the reading of a llama2.c file. @throws ERR_IO; ERR_CHECKPOINT naming what does not agree */
export async function readLlama2c(path: string): Promise<ReadPlan> {
  const { header, fileSize } = await readStart(path);
  const config = parseConfig(header, path);
  const cursor = layOut(config);
  if (cursor.at !== fileSize) {
    fail("ERR_CHECKPOINT", `${path}: ${fileSize} bytes, its header asks for ${cursor.at}: it is truncated or no `
      + "llama2.c version 0 file", { path, fileSize, wanted: cursor.at });
  }
  return { config, source: {}, files: [{ path, entries: cursor.entries }] };
}
