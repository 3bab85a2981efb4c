// One worker at a time: a lock file that holds the mark of its taker. A lock left by a process that is gone is taken
// over: nobody cleans up after a crash, and nobody is told to wait for a stranger. It does NOT know what is locked.
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { codeOf, fail } from "./errors";
import { ioError } from "./files";
import { makerOf, ownMark } from "./processes";

/** Locks this thread holds: its own mark cannot tell work under way from what an earlier attempt left. */
const held = new Set<string>();

/**
 * Takes the lock `file`, whose directory exists. @returns what gives it back
 * @param what is being done, for messages: "computing this stage"
 * @throws ERR_BUSY while another process or thread, or this one, holds it; ERR_IO
 */
export async function takeLock(file: string, what: string): Promise<() => Promise<void>> {
  const path = resolve(file);
  if (held.has(path)) fail("ERR_BUSY", `${path}: this process is ${what} already`, { path });
  held.add(path);
  try {
    await create(path, what);
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return async () => {
    held.delete(path);
    await rm(path, { force: true });
  };
}

async function create(path: string, what: string): Promise<void> {
  const named = `${path}.${ownMark()}`;
  try {
    await writeFile(named, ownMark());
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        return await link(named, path); // a lock that exists has its mark in it
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
        await breakStale(path, what);
      }
    }
  } catch (error) {
    throw ioError(error, "write", path);
  } finally {
    await rm(named, { force: true }).catch(() => undefined); // the first error is the one to tell
  }
  fail("ERR_BUSY", `${path}: another process has just begun ${what}; try again`, { path });
}

async function breakStale(path: string, what: string): Promise<void> {
  const mark = await readFile(path, "utf8").catch(() => "");
  const { is, pid } = makerOf(mark);
  if (is === "running") fail("ERR_BUSY", `process ${pid} is ${what} (${path}); wait for it, or stop it`, { path, pid });
  if (is === "thread") {
    fail("ERR_BUSY", `another thread of this process is ${what}; wait for it, or, if it has ended, remove ${path}`,
      { path, pid });
  }
  const aside = `${path}.${ownMark()}.stale`;
  await rename(path, aside).catch((error: unknown) => (codeOf(error) === "ENOENT" ? undefined : Promise.reject(error)));
  // Between the look and the move another process may have taken the lock: then that one is put back.
  if ((await readFile(aside, "utf8").catch(() => mark)) !== mark) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}
