// Hugging Face checkpoint directories as plans: which bytes of which file are which rows of which parameter. Native
// code maps, converts and writes by these plans; no weight passes through here.
// It does NOT know tokenizers, nor how a parameter is computed with.
import { join } from "node:path";
import { fail } from "../errors";
import { readJson, writeFileAtomic } from "../files";
import type { DType, ModelConfig, TensorEntry } from "../native";
import { fileExists, isObject } from "../text/tokenizer-files";
import { idsJson, type Json, modelConfigJson, parseModelConfig, tokenIds } from "./model-config";
import { type CheckpointEntry, checkpointEntries } from "./parameters";
import { buildHeader, DTYPE_BYTES, readHeader, type StoredTensor } from "./safetensors";
import { noModel } from "./where";

export { type CheckpointEntry, checkpointEntries } from "./parameters";
export { modelConfigJson, parseModelConfig } from "./model-config";

/** One file and what is to be read from it. */
export interface FilePlan {
  readonly path: string;
  readonly entries: TensorEntry[];
}

export interface ReadPlan {
  readonly config: ModelConfig;
  /** config.json as it stands; empty for formats that have none. */
  readonly source: Record<string, unknown>;
  readonly files: FilePlan[];
}

export interface WritePlan {
  /** All bytes before the data. */
  readonly header: Uint8Array;
  /** Offsets are from the start of the file. */
  readonly entries: TensorEntry[];
  readonly fileSize: number;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

async function readObject(path: string): Promise<Record<string, unknown>> {
  const value = await readJson(path);
  return isObject(value) ? { ...value } : fail("ERR_CHECKPOINT", `${path}: a JSON object was expected`, { path });
}

/** config.json, with the stop tokens of generation_config.json where it names some. */
export async function readConfig(directory: string): Promise<{ config: ModelConfig; source: Record<string, unknown> }> {
  const path = join(directory, "config.json");
  if (!(await fileExists(path))) await noModel(directory);
  const source = await readObject(path);
  const config = parseModelConfig(source, path);
  const generationPath = join(directory, "generation_config.json");
  if (!(await fileExists(generationPath))) return { config, source };
  const generation = await readObject(generationPath);
  const eosTokenIds = tokenIds(generation.eos_token_id);
  return { config: eosTokenIds.length > 0 ? { ...config, eosTokenIds } : config, source };
}

interface Located {
  readonly tensor: StoredTensor;
  readonly path: string;
}

async function locateIn(path: string): Promise<Map<string, Located>> {
  const { tensors } = await readHeader(path);
  return new Map([...tensors].map(([name, tensor]) => [name, { tensor, path }]));
}

/** Tensors of all shards the index names. An index that names a file elsewhere, or a tensor not in it, is refused. */
async function locateSharded(directory: string): Promise<Map<string, Located>> {
  const indexPath = join(directory, INDEX);
  const { weight_map: map } = await readObject(indexPath);
  if (!isObject(map)) return fail("ERR_CHECKPOINT", `${indexPath}: weight_map is missing`, { path: indexPath });
  const located = new Map<string, Located>();
  for (const shard of new Set(Object.values(map))) {
    if (typeof shard !== "string" || !/^[^/\\]+\.safetensors$/.test(shard)) {
      fail("ERR_CHECKPOINT", `${indexPath}: ${JSON.stringify(shard)} is no file name beside it`, { path: indexPath });
    }
    for (const [name, place] of await locateIn(join(directory, shard))) {
      if (located.has(name)) fail("ERR_CHECKPOINT", `${place.path}: tensor ${name} is in another shard too`);
      located.set(name, place);
    }
  }
  for (const [name, shard] of Object.entries(map)) {
    if (located.get(name)?.path !== join(directory, shard as string)) {
      const details = { path: indexPath, tensor: name };
      fail("ERR_CHECKPOINT", `${indexPath}: tensor ${name} is not in ${String(shard)}`, details);
    }
  }
  return located;
}

async function locateAll(directory: string): Promise<Map<string, Located>> {
  if (await fileExists(join(directory, SINGLE))) return locateIn(join(directory, SINGLE));
  if (await fileExists(join(directory, INDEX))) return locateSharded(directory);
  const hint = (await fileExists(join(directory, "adapter_config.json")))
    ? "it is an adapter, and an adapter of an adapter is not read; merge it into its base model first"
    : (await fileExists(join(directory, "pytorch_model.bin")))
      ? "pytorch_model.bin is not read; save the model with safetensors first"
      : "a Hugging Face checkpoint was expected";
  return fail("ERR_CHECKPOINT", `${directory}: neither ${SINGLE} nor ${INDEX} is there; ${hint}`, { path: directory });
}

/** Tensors older checkpoints hold that are computed, not learned, or that repeat the tied embedding. */
function isRedundant(name: string, config: ModelConfig): boolean {
  return name.endsWith(".rotary_emb.inv_freq") || (config.tieWordEmbeddings && name === "lm_head.weight");
}

function checkComplete(located: ReadonlyMap<string, unknown>, wanted: readonly CheckpointEntry[], directory: string,
  config: ModelConfig): void {
  const missing = wanted.map(({ hfName }) => hfName).filter((name) => !located.has(name));
  if (missing.length > 0) {
    fail("ERR_CHECKPOINT", `${directory}: ${missing.length} tensors of this config are missing: `
      + `${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ", ..." : ""}`, { path: directory, missing });
  }
  const known = new Set(wanted.map(({ hfName }) => hfName));
  const strange = [...located.keys()].filter((name) => !known.has(name) && !isRedundant(name, config));
  if (strange.length > 0) {
    fail("ERR_CHECKPOINT", `${directory}: ${strange.length} tensors do not belong to this config: `
      + `${strange.slice(0, 3).join(", ")}${strange.length > 3 ? ", ..." : ""}`, { path: directory, strange });
  }
}

function storedEntry({ tensor, path }: Located, wanted: CheckpointEntry): TensorEntry {
  const { name, dtype, shape, fileOffset } = tensor;
  if (shape.length !== wanted.shape.length || shape.some((size, axis) => size !== wanted.shape[axis])) {
    fail("ERR_CHECKPOINT", `${path}: tensor ${name} is [${shape.join(", ")}], the config wants `
      + `[${wanted.shape.join(", ")}]`, { path, tensor: name });
  }
  if (dtype !== "F32" && dtype !== "BF16" && dtype !== "F16") {
    const details = { path, tensor: name };
    return fail("ERR_UNSUPPORTED", `${path}: tensor ${name} is ${dtype}; F32, BF16 and F16 are read`, details);
  }
  const { parameter, rowOffset } = wanted;
  return { parameter, rowOffset, rows: wanted.shape[0]!, fileOffset, dtype };
}

/**
 * Plans the reading of a directory with config.json and model.safetensors or its shards.
 * @throws ERR_IO; ERR_UNSUPPORTED; ERR_CHECKPOINT naming the file and each missing, unexpected or misshapen tensor
 */
export async function planRead(directory: string): Promise<ReadPlan> {
  const { config, source } = await readConfig(directory);
  const located = await locateAll(directory);
  const wanted = checkpointEntries(config);
  checkComplete(located, wanted, directory, config);
  const files = new Map<string, TensorEntry[]>();
  for (const entry of wanted) {
    const place = located.get(entry.hfName)!;
    const entries = files.get(place.path) ?? [];
    entries.push(storedEntry(place, entry));
    files.set(place.path, entries);
  }
  return { config, source, files: [...files].map(([path, entries]) => ({ path, entries })) };
}

/**
 * Row r of a head in Hugging Face's order, whose pairs are (i, i + D/2), is this row in llama2.c's, whose pairs are
 * (2i, 2i + 1): the model computes the same with its query and key rows in the other order.
 */
function interleavedRow(row: number, headDim: number): number {
  const within = row % headDim;
  const half = headDim / 2;
  return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

/** An entry of the file; row by row where the rows must change places. */
function entriesInOrder(wanted: CheckpointEntry, fileOffset: number, dtype: TensorEntry["dtype"], permute: boolean):
TensorEntry[] {
  const { parameter, rowOffset, shape, ropeHead } = wanted;
  const rows = shape[0]!;
  if (!permute || ropeHead === 0) return [{ parameter, rowOffset, rows, fileOffset, dtype }];
  const rowBytes = (shape[1] ?? 1) * DTYPE_BYTES[dtype]!;
  return Array.from({ length: rows }, (_, row) => (
    { parameter, rowOffset: rowOffset + interleavedRow(row, ropeHead), rows: 1,
      fileOffset: fileOffset + row * rowBytes, dtype }));
}

/**
 * Plans the reading of one file whose tensors are just those wanted, rows in the order of this config's RoPE layout.
 * @throws ERR_IO; ERR_UNSUPPORTED; ERR_CHECKPOINT naming each missing, unexpected or misshapen tensor
 */
export async function planTensors(path: string, wanted: readonly CheckpointEntry[], config: ModelConfig):
Promise<TensorEntry[]> {
  const located = await locateIn(path);
  checkComplete(located, wanted, path, config);
  return wanted.flatMap((entry) => {
    const { fileOffset, dtype } = storedEntry(located.get(entry.hfName)!, entry);
    return entriesInOrder(entry, fileOffset, dtype, config.ropeInterleaved);
  });
}

/** Plans one model.safetensors in Hugging Face's names, shapes and RoPE layout. */
export function planWrite(config: ModelConfig, dtype: DType): WritePlan {
  return planTensorWrite(checkpointEntries(config), config, dtype);
}

/** Plans one file of these tensors, in Hugging Face's RoPE layout. */
export function planTensorWrite(wanted: readonly CheckpointEntry[], config: ModelConfig, dtype: DType): WritePlan {
  const stored = dtype === "bfloat16" ? "BF16" : "F32";
  const { bytes: header, offsets, fileSize } = buildHeader(
    wanted.map(({ hfName, shape }) => ({ name: hfName, dtype: stored, shape })));
  const entries = wanted.flatMap((entry, index) =>
    entriesInOrder(entry, offsets[index]!, stored, config.ropeInterleaved));
  return { header, entries, fileSize };
}

const pretty = (value: Json) => `${JSON.stringify(value, null, 2)}\n`;

/** The files of the model a checkpoint came from; their keys that ours do not decide are kept. */
export interface SourceFiles {
  readonly config?: Json;
  readonly generation?: Json;
}

/**
 * Writes config.json and generation_config.json into an existing directory.
 * @throws ERR_IO; ERR_UNSUPPORTED when no Hugging Face class computes this config
 */
export async function writeModelConfig(
  directory: string, config: ModelConfig, dtype: DType, source: SourceFiles = {},
): Promise<void> {
  const { config: before = {}, generation = {} } = source;
  await writeFileAtomic(join(directory, "config.json"), pretty(modelConfigJson(config, dtype, before)));
  const ids = { bos_token_id: config.bosTokenId, eos_token_id: idsJson(config.eosTokenIds) };
  const padding = Number.isInteger(before.pad_token_id) ? { pad_token_id: before.pad_token_id } : {};
  const known = Object.fromEntries(Object.entries(ids).filter(([, id]) => id !== null));
  await writeFileAtomic(join(directory, "generation_config.json"), pretty({ ...padding, ...generation, ...known }));
}
