// Content-addressed stages on disk: a stage's directory is named by the hash of its options and inputs, so
// the same work is never done twice and a finished directory is never half-written. Work in progress lives in
// a directory of its own, where a stage may leave checkpoints and find them again after an interruption. It
// does NOT know what stages do.
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  hashJson, ioError, isTemporary, makeDirectory, readJson, recoverSwap, sha256File, stableJson, syncTree,
  writeFileAtomic,
} from "../files";
import { takeLock } from "../lock";

/**
 * Part of every key: raise it when a stage comes to mean something else, and old results are computed anew.
 */
const STAGE_FORMAT = 1;

export interface StageSpec {
  name: string;
  /** All that decides the result besides the inputs. */
  options: unknown;
  /** Input name -> key of the stage or hash of the file it is. */
  inputs: Readonly<Record<string, string>>;
}

export interface StageResult {
  name: string;
  key: string;
  directory: string;
  /** It was there already. */
  cached: boolean;
  /** Seconds of computing, over all the runs it took. */
  seconds: number;
}

/**
 * A hash that stands for the bytes of a file, or for those of all files of a folder with their names.
 * @throws ERR_IO
 */
export async function pathKey(path: string): Promise<string> {
  await recoverSwap(path);
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder) return sha256File(path);
  const names = (
    await readdir(path).catch((error: unknown) => {
      throw ioError(error, "read", path);
    })
  ).sort();
  const hashes = await Promise.all(names.map(async (name) => [name, await pathKey(join(path, name))]));
  return hashJson(hashes);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const LOCK = "lock";
const LOCKED_FOR = "computing this stage";
const TIMING = "timing.json";

/** Where a stage keeps what it needs to resume and nobody needs afterwards. */
export function scratchDirectory(work: string): string {
  return join(work, "scratch");
}

/** Seconds spent so far on the stage in a directory; 0 where nothing was recorded. */
async function recordedSeconds(directory: string): Promise<number> {
  const timing = (await readJson(join(directory, TIMING)).catch(() => ({}))) as { seconds?: unknown };
  return typeof timing.seconds === "number" ? timing.seconds : 0;
}

async function writeSeconds(directory: string, seconds: number): Promise<number> {
  await writeFileAtomic(join(directory, TIMING), `${stableJson({ seconds })}\n`);
  return seconds;
}

/** Half-written files of a killed process are never read, and must not be published with the stage. */
async function removeLeftovers(work: string): Promise<void> {
  const names = await readdir(work).catch((error: unknown) => Promise.reject(ioError(error, "read", work)));
  const leftovers = names.filter(isTemporary);
  await Promise.all(leftovers.map((name) => rm(join(work, name), { recursive: true, force: true })));
}

export class StageStore {
  constructor(readonly root: string) {}

  key(spec: StageSpec): string {
    return hashJson({ format: STAGE_FORMAT, ...spec });
  }

  /** Where the finished stage lies or will lie. */
  directory(spec: StageSpec): string {
    return join(this.root, "stages", `${spec.name}-${this.key(spec).slice(0, 16)}`);
  }

  private workDirectory(spec: StageSpec): string {
    return join(this.root, "work", `${spec.name}-${this.key(spec).slice(0, 16)}`);
  }

  /**
   * The stage's directory, computed if it is not there. `compute` writes into the work directory it is given
   * and yields what it has to tell; whatever an interrupted run left there is still in it, so it must write
   * atomically and can resume. Checkpoints and the like belong below `scratchDirectory(work)`, which is not
   * published.
   * @throws ERR_BUSY if another process computes this stage; what `compute` throws
   */
  async *run<E>(
    spec: StageSpec,
    compute: (work: string) => AsyncGenerator<E, void>,
  ): AsyncGenerator<E, StageResult> {
    const key = this.key(spec);
    const directory = this.directory(spec);
    const base = { name: spec.name, key, directory };
    if (await exists(directory)) return { ...base, cached: true, seconds: await recordedSeconds(directory) };
    const work = this.workDirectory(spec);
    await makeDirectory(work);
    const unlock = await takeLock(join(work, LOCK), LOCKED_FOR);
    const before = await recordedSeconds(work);
    const started = Date.now();
    const seconds = () => before + (Date.now() - started) / 1000;
    try {
      await removeLeftovers(work);
      if (await exists(directory)) {
        // Finished by another process between the look and the lock: what was made here since is empty.
        await rm(work, { recursive: true, force: true });
        return { ...base, cached: true, seconds: await recordedSeconds(directory) };
      }
      yield* compute(work);
      await rm(scratchDirectory(work), { recursive: true, force: true });
      await writeFileAtomic(join(work, "stage.json"), `${stableJson({ ...spec, key }, 2)}\n`);
      const total = await writeSeconds(work, seconds());
      await this.publish(work, directory);
      return { ...base, cached: false, seconds: total };
    } catch (error) {
      await writeSeconds(work, seconds()).catch(() => undefined); // the first error is the one to tell
      throw error;
    } finally {
      await unlock();
    }
  }

  /** Forgets the finished stage and what was begun of it. @throws ERR_BUSY while another process computes it */
  async forget(spec: StageSpec): Promise<void> {
    const work = this.workDirectory(spec);
    const unlock = (await exists(work)) ? await takeLock(join(work, LOCK), LOCKED_FOR) : undefined;
    try {
      for (const path of [this.directory(spec), work]) {
        await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
          throw ioError(error, "remove", path);
        });
      }
    } finally {
      await unlock?.();
    }
  }

  private async publish(work: string, directory: string): Promise<void> {
    try {
      await syncTree(work);
      await makeDirectory(join(this.root, "stages"));
      await rename(work, directory); // with the lock in it: until then nobody else may enter
      await rm(join(directory, LOCK), { force: true });
    } catch (error) {
      throw ioError(error, "write", directory);
    }
  }
}
