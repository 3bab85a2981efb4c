// A text file line by line, whatever its size: plain or gzip, with or without byte order mark, LF or CRLF, with or
// without a last line break. Lines are numbered from 1, so that every later error can say where.
// It does NOT know what a line holds.
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { codeOf, fail, messageOf } from "../errors";
import { ioError } from "../files";

export interface Line {
  readonly text: string;
  /** From 1. */
  readonly number: number;
}

/** A longer line is not data but a wrong file (one JSON document, a binary): it is refused, not buffered. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

export function isGzip(path: string): boolean {
  return path.toLowerCase().endsWith(".gz");
}

/** The file's bytes in chunks, decompressed. @throws ERR_IO, ERR_DATA when a gzip stream is damaged or cut off. */
export async function* readChunks(path: string): AsyncGenerator<Buffer> {
  const file = createReadStream(path);
  let stream: AsyncIterable<Buffer> = file;
  if (isGzip(path)) {
    const gunzip = createGunzip();
    // pipe() does not forward errors: without this a missing file would wait for ever.
    file.on("error", (error) => gunzip.destroy(error));
    stream = file.pipe(gunzip);
  }
  try {
    for await (const chunk of stream) yield chunk;
  } catch (error) {
    if (codeOf(error)?.startsWith("Z_")) {
      fail("ERR_DATA", `${path}: the gzip data is damaged or cut off (${messageOf(error)}); fetch it again`, { path },
        error);
    }
    throw ioError(error, "read", path);
  } finally {
    file.destroy();
  }
}

function decodeLine(bytes: Buffer, path: string, number: number): string {
  const end = bytes.length > 0 && bytes[bytes.length - 1] === 0x0d ? bytes.length - 1 : bytes.length;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, end));
  } catch (error) {
    const details = { path, line: number };
    return fail("ERR_DATA", `${path}:${number}: not valid UTF-8; convert the file first`, details, error);
  }
}

/** Pieces of a line that spans chunks, with the bound on its size. */
class Pending {
  private parts: Buffer[] = [];
  size = 0;

  constructor(private readonly path: string, private readonly limit: number) {}

  add(part: Buffer, number: number): void {
    this.size += part.length;
    if (this.size > this.limit) {
      fail("ERR_DATA", `${this.path}:${number}: the line is longer than ${this.limit} bytes; one record a line is `
        + "wanted", { path: this.path, line: number });
    }
    this.parts.push(part);
  }

  take(): Buffer {
    const whole = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    this.parts = [];
    this.size = 0;
    return whole;
  }
}

/**
 * The lines of a file, without their line breaks. Empty lines are given too; an empty file has none.
 * @throws ERR_IO; ERR_DATA naming file and line on bytes that are not UTF-8, a line over `maxLineBytes`, bad gzip.
 */
export async function* readLines(path: string, maxLineBytes = MAX_LINE_BYTES): AsyncGenerator<Line> {
  const pending = new Pending(path, maxLineBytes);
  let number = 1;
  const finish = (): Line => {
    let bytes = pending.take();
    if (number === 1 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) bytes = bytes.subarray(3);
    return { text: decodeLine(bytes, path, number), number: number++ };
  };
  for await (const chunk of readChunks(path)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pending.add(chunk.subarray(start, end), number);
      yield finish();
      start = end + 1;
    }
    if (start < chunk.length) pending.add(chunk.subarray(start), number);
  }
  if (pending.size > 0) yield finish();
}
