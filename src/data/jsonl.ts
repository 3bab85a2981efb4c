// JSON Lines: one JSON value a line, the form every stage reads and writes.
// Reading streams and numbers the lines; writing is either whole and atomic, or appending so that a process killed in
// the middle leaves complete records only. Fields are NOT known here: see formats.ts and records.ts.
import { open, type FileHandle } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { fail, messageOf } from "../errors";
import { ioError, writeFileAtomic } from "../files";
import { isGzip, readLines } from "./lines";

/** A value with the place it stands at. */
export interface Located<T = unknown> {
  readonly value: T;
  /** Line of a text file, row of a table; from 1. */
  readonly line: number;
}

/**
 * The values of a JSON Lines file, also gzipped (.gz). Blank lines are skipped.
 * @throws ERR_IO; ERR_DATA naming file and line.
 */
export async function* readJsonl(path: string, maxLineBytes?: number): AsyncGenerator<Located> {
  for await (const { text, number } of readLines(path, maxLineBytes)) {
    if (text.trim() === "") continue;
    yield { value: parseLine(text, path, number), line: number };
  }
}

function parseLine(text: string, path: string, line: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    return fail("ERR_DATA", `${path}:${line}: not valid JSON: ${messageOf(error)}; ${remedy(text)}`, { path, line }, error);
  }
}

/** A line of one bracket is the beginning of a document that was printed over several lines. */
function remedy(text: string): string {
  return /^\s*[[{]\s*$/.test(text) ? "a .jsonl file has one whole value a line: a document over several lines is a .json file"
    : "a line is one whole JSON value: mend the line, or leave it out";
}

function serialize(record: unknown): string {
  const text = JSON.stringify(record) as string | undefined;
  if (text === undefined) fail("ERR_INVALID_ARGUMENT", `a record of type ${typeof record} has no JSON form`);
  return `${text}\n`;
}

// Lines are joined into chunks of about this size before they reach the file.
const CHUNK_CHARACTERS = 1 << 18;

async function* serializeAll(
  records: Iterable<unknown> | AsyncIterable<unknown>, gzip: boolean,
): AsyncGenerator<string | Uint8Array> {
  let chunk = "";
  // Gzip members may follow one another in a file: each chunk is one.
  const encode = (text: string) => (gzip ? gzipSync(text) : text);
  for await (const record of records) {
    chunk += serialize(record);
    if (chunk.length < CHUNK_CHARACTERS) continue;
    yield encode(chunk);
    chunk = "";
  }
  if (chunk !== "" || gzip) yield encode(chunk);
}

/** Writes a whole file atomically, gzipped when the name ends in .gz. @throws ERR_IO, ERR_INVALID_ARGUMENT */
export async function writeJsonl(
  path: string, records: Iterable<unknown> | AsyncIterable<unknown>,
): Promise<void> {
  await writeFileAtomic(path, serializeAll(records, isGzip(path)));
}

/** Length of the file up to and with its last line break: what a killed writer completed. */
async function completeLength(handle: FileHandle): Promise<number> {
  const buffer = Buffer.alloc(1 << 16);
  let end = (await handle.stat()).size;
  while (end > 0) {
    const start = Math.max(0, end - buffer.length);
    const { bytesRead } = await handle.read(buffer, 0, end - start, start);
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}

/**
 * Appends records to a JSON Lines file that may already hold some. A half-written last line, left by a killed process,
 * is cut off when the file is opened; `flush` makes all records written so far survive a power failure.
 */
export class JsonlWriter {
  private position = 0;
  private buffer = "";

  private constructor(readonly path: string, private readonly handle: FileHandle) {}

  /** @throws ERR_IO; ERR_INVALID_ARGUMENT for .gz, which cannot be repaired after a crash. */
  static async open(path: string): Promise<JsonlWriter> {
    if (isGzip(path)) fail("ERR_INVALID_ARGUMENT", `${path}: a gzipped file cannot be appended to safely`, { path });
    try {
      const handle = await open(path, "a+").then(async (created) => (await created.close(), open(path, "r+")));
      const writer = new JsonlWriter(path, handle);
      writer.position = await completeLength(handle);
      await handle.truncate(writer.position);
      return writer;
    } catch (error) {
      throw ioError(error, "append to", path);
    }
  }

  async write(record: unknown): Promise<void> {
    this.buffer += serialize(record);
    if (this.buffer.length >= CHUNK_CHARACTERS) await this.drain();
  }

  private async drain(): Promise<void> {
    const bytes = Buffer.from(this.buffer, "utf8");
    this.buffer = "";
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.position);
        done += bytesWritten;
        this.position += bytesWritten;
      }
    } catch (error) {
      throw ioError(error, "append to", this.path);
    }
  }

  async flush(): Promise<void> {
    await this.drain();
    await this.handle.sync().catch((error: unknown) => Promise.reject(ioError(error, "append to", this.path)));
  }

  /** Flushes and closes. The writer is not usable afterwards. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.handle.close();
    }
  }
}
