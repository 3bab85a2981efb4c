// The state of an unfinished training on disk: the weights as exactly as they are known and both AdamW moments as one
// safetensors file, the loop's place as JSON. A checkpoint's name appears when it is whole; older ones go only after
// that, so a crash at any moment leaves one that can be continued. It does NOT know what is being trained.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors";
import { atomicDirectory, ioError, isTemporary, makeDirectory, readJson, stableJson, writeFileAtomic } from "../files";
import type { DType, StateArenas } from "../native";
import { buildHeader, readHeader } from "./safetensors";

/** What is saved and restored: a TrainingSession, seen from here. */
export interface StatefulSession {
  readonly stateArenas: StateArenas;
  writeState(path: string, header: Uint8Array): Promise<void>;
  readState(path: string, fileOffset: number): Promise<void>;
}

export interface SavedProgress<P> {
  /** Hash of all that the training depends on. */
  identity: string;
  progress: P;
}

/** Tensors of the file, in order: float32 weights are the masters of those that compute. */
const ARENAS: Readonly<Record<DType, readonly [string, string, string]>> = {
  float32: ["master", "exp_avg", "exp_avg_sq"],
  bfloat16: ["parameter", "exp_avg", "exp_avg_sq"],
};
const STORED: Readonly<Record<DType, { dtype: string; bytes: number }>> = {
  float32: { dtype: "F32", bytes: 4 },
  bfloat16: { dtype: "BF16", bytes: 2 },
};
const NAME = /^checkpoint-(\d+)$/;
const STATE_FILE = "state.safetensors";
const PROGRESS_FILE = "progress.json";

async function checkpointsIn(directory: string): Promise<{ path: string; step: number }[]> {
  let names: string[];
  try {
    await makeDirectory(directory);
    names = await readdir(directory);
  } catch (error) {
    throw ioError(error, "read", directory);
  }
  return names.map((name) => ({ path: join(directory, name), match: NAME.exec(name) }))
    .flatMap(({ path, match }) => (match ? [{ path, step: Number(match[1]) }] : []))
    .sort((a, b) => b.step - a.step);
}

/** The checkpoint with the most steps, if there is one. @throws ERR_IO */
export async function latestCheckpoint(directory: string): Promise<string | undefined> {
  return (await checkpointsIn(directory))[0]?.path;
}

/** Whether the checkpoint is there already, of the same training at the same place. */
async function isSame<P>(path: string, saved: SavedProgress<P>): Promise<boolean> {
  const there = await readProgress<P>(path).catch(() => undefined);
  return there !== undefined && stableJson(there) === stableJson(saved);
}

/**
 * Writes a checkpoint and then removes the older ones, and what a killed process had half written.
 * @throws ERR_IO; the older ones are still there then
 */
export async function saveCheckpoint<P>(
  directory: string, step: number, session: StatefulSession, saved: SavedProgress<P>,
): Promise<void> {
  const path = join(directory, `checkpoint-${String(step).padStart(8, "0")}`);
  if (await isSame(path, saved)) return; // bit-identical, and replacing the only one would risk it
  const { dtype, elements } = session.stateArenas;
  const tensors = ARENAS[dtype].map((name) => ({ name, dtype: STORED[dtype].dtype, shape: [elements] }));
  const header = buildHeader(tensors, { format: "pt", optim_states: dtype });
  await atomicDirectory(path, async (temporary) => {
    await session.writeState(join(temporary, STATE_FILE), header.bytes);
    await writeFileAtomic(join(temporary, PROGRESS_FILE), `${stableJson(saved, 2)}\n`);
  }, { replace: true });
  const older = (await readdir(directory)).filter((name) => NAME.test(name) || isTemporary(name))
    .map((name) => join(directory, name)).filter((other) => other !== path);
  await Promise.all(older.map((other) => rm(other, { recursive: true, force: true })));
}

/** What was saved beside the state; read before the state, so that a foreign checkpoint changes nothing. */
export async function readProgress<P>(path: string): Promise<SavedProgress<P>> {
  const file = join(path, PROGRESS_FILE);
  const value = await readJson(file);
  const saved = value as Partial<SavedProgress<P>>;
  if (typeof saved.identity !== "string" || saved.progress === undefined) {
    fail("ERR_CHECKPOINT", `${file}: not a training checkpoint; remove ${path} to start anew`, { path });
  }
  return saved as SavedProgress<P>;
}

/** To call before the state is read. @throws ERR_CHECKPOINT when it holds states of the other type */
export async function expectStates(path: string, session: StatefulSession): Promise<void> {
  const { metadata } = await readHeader(join(path, STATE_FILE));
  const held = metadata["optim_states"] ?? "float32"; // files from before there were others
  const { dtype } = session.stateArenas;
  if (held === dtype) return;
  fail("ERR_CHECKPOINT", `${path}: holds ${held} optimizer states, this training has ${dtype} ones; give optim_states `
    + `${held} to go on with it, or remove it to start anew`, { path, option: "optim_states" });
}

/** Restores weights and moments, bit for bit. @throws ERR_CHECKPOINT when the file is of another model or damaged */
export async function restoreState(path: string, session: StatefulSession): Promise<void> {
  const file = join(path, STATE_FILE);
  const header = await readHeader(file);
  const { dtype, elements: n } = session.stateArenas;
  const offsets = ARENAS[dtype].map((name) => {
    const tensor = header.tensors.get(name);
    if (!tensor || tensor.dtype !== STORED[dtype].dtype || tensor.shape.length !== 1 || tensor.shape[0] !== n) {
      fail("ERR_CHECKPOINT", `${file}: tensor ${name} is not ${dtype} [${n}]; the checkpoint is of another model: remove `
        + `${path} to start anew`, { path, tensor: name });
    }
    return tensor.fileOffset;
  });
  if (offsets.some((offset, k) => offset !== offsets[0]! + STORED[dtype].bytes * n * k)) {
    fail("ERR_CHECKPOINT", `${file}: the arenas do not follow one another; remove ${path} to start anew`, { path });
  }
  await session.readState(file, offsets[0]!);
}
