// Content-addressed stages on disk: a stage's directory is named by the hash of its options and inputs, so
// the same work is never done twice and a finished directory is never half-written. Work in progress lives in
// a directory of its own, where a stage may leave checkpoints and find them again after an interruption. It
// does NOT know what stages do.
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, fail } from "../errors";
import { hashJson, ioError, readJson, sha256File, stableJson, syncTree, writeFileAtomic } from "../files";

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

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
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
    await mkdir(work, { recursive: true }).catch((error: unknown) => {
      throw ioError(error, "make", work);
    });
    const unlock = await this.lock(work);
    if (await exists(directory)) {
      // finished by another process while this one waited for the lock
      await unlock();
      return { ...base, cached: true, seconds: await recordedSeconds(directory) };
    }
    const before = await recordedSeconds(work);
    const started = Date.now();
    const seconds = () => before + (Date.now() - started) / 1000;
    try {
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

  /** Forgets the finished stage and what was begun of it. */
  async forget(spec: StageSpec): Promise<void> {
    for (const path of [this.directory(spec), this.workDirectory(spec)]) {
      await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
        throw ioError(error, "remove", path);
      });
    }
  }

  private async publish(work: string, directory: string): Promise<void> {
    try {
      await rm(join(work, LOCK), { force: true });
      await syncTree(work);
      await mkdir(join(this.root, "stages"), { recursive: true });
      await rename(work, directory);
    } catch (error) {
      throw ioError(error, "write", directory);
    }
  }

  /** One process a stage; a lock left by a process that is gone is taken over. */
  private async lock(work: string): Promise<() => Promise<void>> {
    const path = join(work, LOCK);
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const handle = await open(path, "wx");
        await handle.writeFile(String(process.pid));
        await handle.close();
        return () => rm(path, { force: true });
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw ioError(error, "write", path);
        await this.breakStaleLock(path);
      }
    }
    return fail("ERR_BUSY", `${path}: another process has just taken this stage; try again`, { path });
  }

  private async breakStaleLock(path: string): Promise<void> {
    const pid = Number(await readFile(path, "utf8").catch(() => "0"));
    if (pid > 0 && pid !== process.pid && isRunning(pid)) {
      fail("ERR_BUSY", `process ${pid} is computing this stage (${path}); wait for it, or stop it`, {
        path,
        pid,
      });
    }
    await rm(path, { force: true });
  }
}
