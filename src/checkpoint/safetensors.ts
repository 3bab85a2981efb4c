// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps. Every claim of the
// header is checked against the file before native code maps it, because a wrong offset read there is a crash.
// It does NOT know what the tensors mean, and never reads or writes their bytes.
import { open, type FileHandle } from "node:fs/promises";
import { fail, messageOf } from "../errors";
import { ioError } from "../files";

/** A tensor as it lies in a file. Offsets are bytes from the start of the FILE. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly fileOffset: number;
  readonly fileEnd: number;
}

export interface SafetensorsHeader {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of one element. Types of less than a byte (F4, F6) have none and count as unknown. */
export const DTYPE_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1, U8: 1, I8: 1, F8_E5M2: 1, F8_E4M3: 1, F8_E8M0: 1, U16: 2, I16: 2, F16: 2, BF16: 2, U32: 4, I32: 4, F32: 4,
  U64: 8, I64: 8, F64: 8, C64: 8,
};

/** The format's own bound on the header. */
export const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
// Data starts at a multiple of this, so that mapped tensors can be read by vector instructions.
const ALIGNMENT = 64;

function broken(path: string, what: string, details: Record<string, unknown> = {}): never {
  return fail("ERR_CHECKPOINT", `${path}: ${what}`, { path, ...details });
}

async function readExactly(handle: FileHandle, path: string, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) broken(path, `the file ends at byte ${position + done}, inside its header`);
    done += bytesRead;
  }
  return buffer;
}

/** Where the JSON string that begins at `begin` ends: behind the first quote without an odd run of backslashes. */
function endOfString(text: string, begin: number): number {
  for (let quote = text.indexOf("\"", begin + 1); ; quote = text.indexOf("\"", quote + 1)) {
    let escapes = quote;
    while (text[escapes - 1] === "\\") escapes--;
    if ((quote - escapes) % 2 === 0) return quote + 1;
  }
}

/**
 * JSON.parse keeps the last of equal keys in silence: two tensors of one name would be read as one.
 * @param text valid JSON; no expression for whole strings, which on a long one would overflow the stack
 */
function checkDuplicateKeys(text: string, path: string): void {
  const open: Set<string>[] = [];
  const token = /["{}]/g;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    if (match[0] === "{") open.push(new Set());
    else if (match[0] === "}") open.pop();
    else {
      const end = token.lastIndex = endOfString(text, match.index);
      if (!/^\s*:/.test(text.slice(end, end + 16))) continue;
      const key = JSON.parse(text.slice(match.index, end)) as string;
      if (open.at(-1)?.has(key)) broken(path, `the header has the key ${JSON.stringify(key)} twice`, { tensor: key });
      open.at(-1)?.add(key);
    }
  }
}

function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return broken(path, "the header is not UTF-8; this is not a safetensors file");
  }
  if (!text.startsWith("{")) broken(path, "the header does not begin with \"{\"; this is not a safetensors file");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    return broken(path, `the header is not valid JSON: ${messageOf(error)}`);
  }
  checkDuplicateKeys(text, path);
  return header as Record<string, unknown>;
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseTensor(name: string, value: unknown, dataBegin: number, path: string): StoredTensor {
  const bad = (what: string): never => broken(path, `tensor ${name}: ${what}`, { tensor: name });
  if (typeof value !== "object" || value === null) return bad("its entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    bad(`unknown dtype ${JSON.stringify(dtype)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isIndex)) {
    return bad(`its shape ${JSON.stringify(shape)} is no list of sizes`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex)) {
    return bad(`its data_offsets ${JSON.stringify(offsets)} are no [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) bad(`its data_offsets [${begin}, ${end}] run backwards`);
  const bytes = (shape as number[]).reduce((product, size) => product * size, DTYPE_BYTES[dtype as string]!);
  if (!Number.isSafeInteger(bytes)) bad(`its shape [${shape.join(", ")}] overflows`);
  if (bytes !== end - begin) {
    bad(`shape [${shape.join(", ")}] of ${String(dtype)} takes ${bytes} bytes, data_offsets span ${end - begin}`);
  }
  const place = { fileOffset: dataBegin + begin, fileEnd: dataBegin + end };
  return { name, dtype: dtype as string, shape: shape as number[], ...place };
}

/** No gap, no overlap, nothing past the end, nothing left over: what the format promises. */
function checkLayout(tensors: readonly StoredTensor[], dataBegin: number, fileSize: number, path: string): void {
  const ordered = [...tensors].sort((a, b) => a.fileOffset - b.fileOffset || a.fileEnd - b.fileEnd);
  let at = dataBegin;
  let before = "the header";
  for (const { name, fileOffset: begin, fileEnd: end } of ordered) {
    if (end > fileSize) {
      broken(path, `tensor ${name} ends at byte ${end}, the file has ${fileSize}: it is truncated, fetch it again`,
        { tensor: name });
    }
    if (begin < at) broken(path, `tensor ${name} overlaps ${before}`, { tensor: name });
    if (begin > at) broken(path, `${begin - at} bytes between ${before} and tensor ${name} belong to nothing`);
    at = end;
    before = `tensor ${name}`;
  }
  if (at !== fileSize) broken(path, `${fileSize - at} bytes after ${before} belong to nothing`);
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (value === undefined) return {};
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value)
    && Object.values(value).every((item) => typeof item === "string");
  return isMap ? value as Record<string, string> : broken(path, "__metadata__ is not a map of strings");
}

/** Checks a header, `bytes` its JSON part, against the file's size. @throws ERR_CHECKPOINT, a text for each fault */
export function parseHeader(bytes: Uint8Array, fileSize: number, path: string): SafetensorsHeader {
  const { __metadata__: metadata, ...entries } = parseJson(bytes, path);
  const dataBegin = LENGTH_BYTES + bytes.length;
  const tensors = Object.entries(entries).map(([name, value]) => parseTensor(name, value, dataBegin, path));
  checkLayout(tensors, dataBegin, fileSize, path);
  return {
    path,
    metadata: parseMetadata(metadata, path),
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
  };
}

/** Reads and checks the header of a file. @throws ERR_IO; ERR_CHECKPOINT naming the file and the tensor */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  const handle = await open(path, "r").catch((error: unknown) => Promise.reject(ioError(error, "read", path)));
  try {
    const { size } = await handle.stat();
    if (size < LENGTH_BYTES) broken(path, `${size} bytes are too few for a safetensors file`);
    const length = (await readExactly(handle, path, LENGTH_BYTES, 0)).readBigUInt64LE();
    if (length > BigInt(MAX_HEADER_BYTES)) {
      broken(path, `the header claims ${length} bytes, the format allows ${MAX_HEADER_BYTES}; `
        + "this is not a safetensors file");
    }
    if (length > BigInt(size - LENGTH_BYTES)) {
      broken(path, `the header claims ${length} bytes, the file has ${size}: it is truncated, fetch it again`);
    }
    return parseHeader(await readExactly(handle, path, Number(length), LENGTH_BYTES), size, path);
  } finally {
    await handle.close();
  }
}

/** A tensor to be written. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * The bytes of a file before its data, length included, and where each tensor begins in the file, in the order given.
 * Transformers wants `metadata.format` to be "pt".
 */
export function buildHeader(
  tensors: readonly TensorSpec[], metadata: Readonly<Record<string, string>> = { format: "pt" },
): { bytes: Uint8Array; offsets: number[]; fileSize: number } {
  const starts: number[] = [];
  const entries: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]!);
    starts.push(at);
    entries[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = Buffer.from(JSON.stringify(entries), "utf8");
  const dataBegin = Math.ceil((LENGTH_BYTES + json.length) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(dataBegin, " ");
  header.writeBigUInt64LE(BigInt(dataBegin - LENGTH_BYTES));
  json.copy(header, LENGTH_BYTES);
  return { bytes: header, offsets: starts.map((start) => dataBegin + start), fileSize: dataBegin + at };
}
