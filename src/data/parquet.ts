// Parquet files, the form Hugging Face datasets are published in, as plain records.
// Reading and the codecs (snappy, gzip, zstd, brotli, lz4) are hyparquet's; this file turns its values into JSON ones.
// It does NOT read remote files.
import { open } from "node:fs/promises";
import { fail, messageOf } from "../errors";
import { ioError } from "../files";
import type { Located } from "./jsonl";

/** Values as JSON has them: 64-bit integers become numbers where that is exact, dates ISO texts. */
function toJson(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map(toJson);
  if (Object.prototype.toString.call(value) === "[object Date]") return (value as Date).toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array, Number);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}

async function withFile<T>(path: string, use: (file: ParquetFile) => Promise<T>): Promise<T> {
  const handle = await open(path, "r").catch((error: unknown) => Promise.reject(ioError(error, "read", path)));
  try {
    const byteLength = (await handle.stat()).size;
    const slice = async (start: number, end = byteLength): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(Math.max(0, end - start));
      await handle.read(bytes, 0, bytes.length, start);
      return bytes.buffer;
    };
    return await use({ byteLength, slice });
  } finally {
    await handle.close();
  }
}

interface ParquetFile {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/** Rows of a Parquet file. @throws ERR_IO; ERR_DATA when it is damaged or uses a codec nobody reads. */
export async function* readParquet(path: string): AsyncGenerator<Located<Record<string, unknown>>> {
  const { parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const rows = await withFile(path, async (file) => {
    try {
      return await parquetReadObjects({ file, compressors });
    } catch (error) {
      return fail("ERR_DATA", `${path}: not a readable Parquet file: ${messageOf(error)}`, { path }, error);
    }
  });
  let line = 0;
  for (const row of rows) yield { value: toJson(row) as Record<string, unknown>, line: ++line };
}
