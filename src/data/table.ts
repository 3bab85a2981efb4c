// Records of a data file, by what its name ends in: the one door through which data enters.
// .json may hold one array or, as many published sets do, JSON Lines under that name.
// It does NOT know fields: see formats.ts and the tasks.
import { fail, messageOf } from "../errors";
import { decodeUtf8, expectPath, MAX_TEXT_BYTES } from "../files";
import { type DelimitedOptions, readDelimited } from "./delimited";
import { type Located, readJsonl } from "./jsonl";
import { readChunks } from "./lines";
import { readParquet } from "./parquet";

export const DATA_EXTENSIONS = [".jsonl", ".json", ".parquet", ".csv", ".tsv"] as const;

function extensionOf(path: string): string {
  const name = path.toLowerCase().replace(/\.gz$/, "");
  return name.slice(name.lastIndexOf("."));
}

async function readWhole(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of readChunks(path)) {
    size += chunk.length;
    if (size > MAX_TEXT_BYTES) {
      fail("ERR_DATA", `${path}: a JSON document of more than ${MAX_TEXT_BYTES} bytes; use JSON Lines`, { path });
    }
    chunks.push(chunk);
  }
  return decodeUtf8(Buffer.concat(chunks), path);
}

/** Whether a text that is no JSON document starts with a line that is one: then it is JSON Lines. */
function looksLikeLines(text: string): boolean {
  const first = text.split("\n").find((line) => line.trim() !== "") ?? "";
  try {
    return typeof JSON.parse(first) === "object";
  } catch {
    return false;
  }
}

async function* readJsonDocument(path: string): AsyncGenerator<Located> {
  const text = await readWhole(path);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    if (looksLikeLines(text)) return yield* readJsonl(path);
    fail("ERR_DATA", `${path}: not valid JSON: ${messageOf(error)}; one array of records, or one record a line, is wanted`,
      { path }, error);
  }
  // A file of one line is a document and JSON Lines at once: its only record is the object.
  const items: unknown[] = Array.isArray(document) ? document : [document];
  for (const [index, value] of items.entries()) yield { value, line: index + 1 };
}

/** Records one by one, with their line (text) or row (JSON array, Parquet), from 1. */
export async function* streamRecords(path: string, options: DelimitedOptions = {}): AsyncGenerator<Located> {
  const extension = extensionOf(path);
  switch (extension) {
    case ".jsonl": return yield* readJsonl(path);
    case ".json": return yield* readJsonDocument(path);
    case ".parquet": return yield* readParquet(path);
    case ".csv":
    case ".tsv": return yield* readDelimited(path, extension.slice(1) as "csv" | "tsv", options);
    default:
      fail("ERR_DATA", `${path}: unknown extension "${extension}"; ${DATA_EXTENSIONS.join(", ")} are read, all but `
        + "Parquet also with .gz", { path });
  }
}

/** All records of a file. @throws ERR_IO; ERR_DATA naming file and line. */
export async function readRecords(path: string, options: DelimitedOptions = {}): Promise<unknown[]> {
  expectPath(path, "readRecords: path", "a file of records");
  const records: unknown[] = [];
  for await (const { value } of streamRecords(path, options)) records.push(value);
  return records;
}
