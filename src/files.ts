// Files as the rest of the package wants them: a final name never holds half a file, an I/O error names the file and
// the remedy, and equal values have equal JSON text, so that hashes of them can name content-addressed stages.
// It does NOT know what is in the files.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { codeOf, fail, isSelfRefineError, messageOf, SelfRefineError } from "./errors";
import { makerOf, MARK, ownMark } from "./processes";

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory: check the path",
  EEXIST: "a file stands where a directory is wanted, or the other way round",
  EACCES: "permission denied: check the owner and mode of the path",
  EPERM: "operation not permitted: check the owner and mode of the path",
  EISDIR: "it is a directory, a file was expected",
  ENOTDIR: "a part of the path is a file, not a directory",
  EROFS: "the file system is read-only: choose another directory",
  ENOSPC: "the disk is full: free some space or choose a directory on another disk",
  EDQUOT: "the disk quota is used up: free some space or choose a directory on another disk",
  EMFILE: "too many open files: raise `ulimit -n`",
  EFBIG: "the file system does not allow a file of this size",
};

/** Turns a Node system error into an ERR_IO that names the path and what to do; our own errors pass unchanged. */
export function ioError(error: unknown, action: string, path: string): SelfRefineError {
  if (isSelfRefineError(error)) return error;
  const errno = codeOf(error);
  const reason = (errno !== undefined && REMEDIES[errno]) || messageOf(error);
  return new SelfRefineError("ERR_IO", `cannot ${action} ${path}: ${reason}`, { path, errno }, error);
}

/** Raised by the operating system, not by the code that made the data. */
function isSystemError(error: unknown): boolean {
  return typeof (error as { errno?: unknown } | null)?.errno === "number";
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** For calls from JavaScript, where a path may be anything. @throws ERR_INVALID_ARGUMENT naming the argument */
export function expectPath(path: unknown, argument: string, wanted: string): void {
  if (typeof path === "string" && path !== "") return;
  fail("ERR_INVALID_ARGUMENT", `${argument} is ${JSON.stringify(path)}, wanted ${wanted}`, { argument });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then((entry) => entry.isDirectory(), () => false);
}

/**
 * Makes a directory and those above it that are missing; one that stands there already is kept.
 * Node's own recursive mkdir never ends, whatever the signal, where a file system such as /proc says ENOENT in a
 * directory that exists: here every level is tried once.
 * @throws ERR_IO that `action` failed on `named`
 */
export async function makeDirectory(path: string, action = "make", named = path): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await isDirectory(at)) && at !== dirname(at); at = dirname(at)) missing.unshift(at);
  for (const directory of missing) {
    try {
      await mkdir(directory);
    } catch (error) {
      if (await isDirectory(directory)) continue; // made by another process meanwhile
      if (codeOf(error) !== "ENOENT") throw ioError(error, action, named);
      const parent = dirname(directory);
      fail("ERR_IO", `cannot ${action} ${named}: no directory can be made in ${parent}; choose another place`,
        { path: named, errno: "ENOENT" }, error);
    }
  }
}

function temporarySibling(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-${ownMark()}-${randomBytes(4).toString("hex")}`);
}

/**
 * Writes a file so that its name holds the old content or the new one, whole, even across a crash.
 * Chunks of an iterable are written as they come, so a large file needs no memory of its size.
 * @throws ERR_IO naming `path`; what the iterable throws passes through. The temporary sibling is removed.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
): Promise<void> {
  const target = resolve(path);
  const temporary = temporarySibling(target);
  const chunks = typeof data === "string" || ArrayBuffer.isView(data) ? [data] : data;
  try {
    await makeDirectory(dirname(target), "write", path);
    const handle = await open(temporary, "wx");
    try {
      for await (const chunk of chunks) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncDirectory(dirname(target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error is the one to tell
    throw isSystemError(error) ? ioError(error, "write", path) : error;
  }
}

/** Flushes every file and directory below `root` to the disk: rename alone does not order their contents. */
export async function syncTree(root: string): Promise<void> {
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncDirectory(path);
  }
  await syncDirectory(root);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, (error: unknown) => (codeOf(error) === "ENOENT" ? false : Promise.reject(error)));
}

const TEMPORARY = new RegExp(String.raw`^\.(.+)\.tmp-(${MARK})-[0-9a-f]{8}(\.old)?$`);

/** Whether a name is that of a temporary of this file's making: half-written, or set aside. */
export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name);
}

/** Targets this process is swapping: its own id cannot tell work under way from what an earlier process left. */
const swapping = new Set<string>();

/** Puts `temporary` in the place of `target`; what stood there comes back if the second rename fails. */
export async function swapIn(temporary: string, target: string): Promise<void> {
  if (!(await exists(target))) return rename(temporary, target);
  const aside = `${temporarySibling(target)}.old`;
  swapping.add(target);
  try {
    await rename(target, aside);
    await rename(temporary, target).catch(async (error: unknown) => {
      await rename(aside, target);
      throw error;
    });
  } finally {
    swapping.delete(target);
  }
  await rm(aside, { recursive: true, force: true });
}

/** A swap takes microseconds; a maker that is not done after this long is stopped, or is no maker of this. */
const SWAP_MS = 500;

/**
 * A process killed between the two renames of swapIn leaves the old content under another name alone: it comes back.
 * To call before `path` is looked for; does nothing where something stands there.
 * @throws ERR_BUSY when another process is between the two renames and stays there
 */
export async function recoverSwap(path: string): Promise<void> {
  const target = resolve(path);
  for (const until = Date.now() + SWAP_MS; ;) {
    if (swapping.has(target) || (await exists(target).catch(() => true))) return;
    const aside = await setAside(target);
    if (aside === undefined) return;
    const { is, pid } = makerOf(aside.mark);
    if (is === "gone" || is === "self") {
      return rename(aside.path, target)
        .catch((error: unknown) => Promise.reject(ioError(error, `put back ${aside.path} as`, path)));
    }
    if (Date.now() > until) {
      fail("ERR_BUSY", `${path}: process ${pid} is replacing it; wait for it, or, if that is another program, rename `
        + `${aside.path} to ${basename(target)}`, { path, aside: aside.path, pid });
    }
    await pause(20);
  }
}

/** What swapIn put aside of `target`, and by whom: the last of several, since a rename is what changed it. */
async function setAside(target: string): Promise<{ path: string; mark: string } | undefined> {
  const names = await readdir(dirname(target)).catch(() => []);
  const found = names.flatMap((name) => {
    const [, of, mark = "", old] = TEMPORARY.exec(name) ?? [];
    return of === basename(target) && old !== undefined ? [{ path: join(dirname(target), name), mark }] : [];
  });
  const changed = await Promise.all(found.map(({ path }) => stat(path).then(({ ctimeMs }) => ctimeMs, () => 0)));
  return found[changed.indexOf(Math.max(...changed))];
}

/** What killed processes left of `target` beside it: half-written, or replaced and not yet removed. */
async function sweep(target: string): Promise<void> {
  for (const name of await readdir(dirname(target)).catch(() => [])) {
    const [, of, mark = ""] = TEMPORARY.exec(name) ?? [];
    if (of !== basename(target) || makerOf(mark).is !== "gone") continue;
    await rm(join(dirname(target), name), { recursive: true, force: true });
  }
}

/** True if `path` is `directory` or lies in it, by whatever names: what replaces the one takes the other away. */
export async function holds(directory: string, path: string): Promise<boolean> {
  const real = (name: string): Promise<string> => realpath(name).catch(() => resolve(name));
  const [outer, inner] = await Promise.all([real(directory), real(path)]);
  return `${inner}${sep}`.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`);
}

/**
 * Makes a directory whose name appears only once `fill` has written all of it. `fill` gets a temporary sibling.
 * @throws ERR_IO when `path` exists and `replace` is not set, or on a system error; what `fill` throws passes through,
 *   a system error as ERR_IO. The temporary is removed in each case.
 */
export async function atomicDirectory<T>(
  path: string,
  fill: (temporary: string) => Promise<T>,
  options: { replace?: boolean } = {},
): Promise<T> {
  const target = resolve(path);
  const temporary = temporarySibling(target);
  try {
    await recoverSwap(target);
    if (!options.replace && (await exists(target))) {
      fail("ERR_IO", `cannot write ${path}: it exists already; remove it or choose another name`, { path });
    }
    await sweep(target);
    await makeDirectory(dirname(target), "write", path);
    await mkdir(temporary);
    const result = await fill(temporary);
    await syncTree(temporary);
    await swapIn(temporary, target);
    await syncDirectory(dirname(target));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw isSystemError(error) ? ioError(error, "write", path) : error;
  }
}

/** Default bound of `readText`: far above any config or tokenizer file, far below what would exhaust memory. */
export const MAX_TEXT_BYTES = 256 * 1024 * 1024;

/**
 * Reads a UTF-8 file whole, without its byte order mark.
 * @throws ERR_IO when it cannot be read, ERR_DATA when it is larger than `maxBytes` or not UTF-8.
 */
export async function readText(path: string, maxBytes = MAX_TEXT_BYTES): Promise<string> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(path);
    if (size > maxBytes) {
      fail("ERR_DATA", `${path}: ${size} bytes, at most ${maxBytes} are read at once`, { path, size, maxBytes });
    }
    bytes = await readFile(path);
  } catch (error) {
    throw ioError(error, "read", path);
  }
  return decodeUtf8(bytes, path);
}

/** Strict UTF-8: a wrong byte is an error naming the file, never a silent replacement character. */
export function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    return fail("ERR_DATA", `${path}: not valid UTF-8; convert it first`, { path }, error);
  }
}

/** Reads a JSON file. @throws as `readText`, and ERR_DATA with the parser's position when it is not JSON. */
export async function readJson(path: string, maxBytes = MAX_TEXT_BYTES): Promise<unknown> {
  const text = await readText(path, maxBytes);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    return fail("ERR_DATA", `${path}: not valid JSON: ${messageOf(error)}`, { path }, error);
  }
}

function sortKeys(value: unknown, path: string): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    fail("ERR_INVALID_ARGUMENT", `${path || "value"} is ${value}: JSON has no such number`, { path });
  }
  if (Array.isArray(value)) return value.map((item, index) => sortKeys(item, `${path}[${index}]`));
  if (typeof value !== "object" || value === null) return value;
  const source = value as Record<string, unknown>;
  // A null prototype, so that a key named "__proto__" is a key like any other.
  const sorted = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(source).sort()) sorted[key] = sortKeys(source[key], `${path}.${key}`);
  return sorted;
}

/**
 * JSON with sorted keys: equal values give equal text, whatever order their keys were set in.
 * @throws ERR_INVALID_ARGUMENT on NaN and infinities, which JSON.stringify would silently turn into null.
 */
export function stableJson(value: unknown, indent?: number): string {
  return JSON.stringify(sortKeys(value, ""), null, indent) ?? "null";
}

/** SHA-256 of bytes or of a text's UTF-8, in hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** SHA-256 of the stable JSON of a value; of a list item by item, for a data set is longer than a string may be. */
export function hashJson(value: unknown): string {
  if (!Array.isArray(value)) return sha256(stableJson(value));
  const hash = createHash("sha256").update("[");
  for (let i = 0; i < value.length; i++) {
    hash.update(`${i > 0 ? "," : ""}${JSON.stringify(sortKeys(value[i], `[${i}]`)) ?? "null"}`);
  }
  return hash.update("]").digest("hex");
}

/** SHA-256 of a file's bytes, streamed. @throws ERR_IO */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (error) {
    throw ioError(error, "read", path);
  }
  return hash.digest("hex");
}
