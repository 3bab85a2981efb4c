// CSV and TSV as records of strings. CSV follows RFC 4180 (quotes, doubled quotes, line breaks inside quotes); TSV has
// no quoting at all, as its registration says, so a `"` in a TSV field is a character like any other.
// It does NOT guess types: every field is a string.
import { fail } from "../errors";
import type { Located } from "./jsonl";
import { type Line, readLines } from "./lines";

export interface DelimitedOptions {
  /** Names of the columns of a file that has no header line. Default: the first line names them. */
  readonly columns?: readonly string[];
}

// A quote that is never closed would otherwise swallow the file, at quadratic cost.
const MAX_ROW_CHARACTERS = 1 << 20;

interface Row {
  readonly fields: string[];
  readonly line: number;
}

async function* readTsvRows(lines: AsyncIterable<Line>): AsyncGenerator<Row> {
  for await (const { text, number } of lines) {
    if (text !== "") yield { fields: text.split("\t"), line: number };
  }
}

/** Parses one CSV row from `text`; null when a quoted field is still open at its end. */
function parseCsvRow(text: string): string[] | null {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === "\"") {
      let value = "";
      for (at++; ; at += 2) {
        const quote = text.indexOf("\"", at);
        if (quote < 0) return null;
        value += text.slice(at, quote);
        at = quote;
        if (text[at + 1] !== "\"") break;
        value += "\"";
      }
      const comma = text.indexOf(",", at);
      fields.push(value + text.slice(at + 1, comma < 0 ? undefined : comma));
      at = comma < 0 ? text.length : comma;
    } else {
      const comma = text.indexOf(",", at);
      fields.push(text.slice(at, comma < 0 ? undefined : comma));
      at = comma < 0 ? text.length : comma;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

async function* readCsvRows(lines: AsyncIterable<Line>, path: string): AsyncGenerator<Row> {
  let open: { text: string; line: number } | null = null;
  for await (const { text, number } of lines) {
    if (open === null && text === "") continue;
    const row: { text: string; line: number } = open === null
      ? { text, line: number } : { text: `${open.text}\n${text}`, line: open.line };
    const fields = parseCsvRow(row.text);
    open = fields === null ? row : null;
    if (row.text.length > MAX_ROW_CHARACTERS) break;
    if (fields !== null) yield { fields, line: row.line };
  }
  if (open !== null) {
    fail("ERR_DATA", `${path}:${open.line}: a quoted field is never closed`, { path, line: open.line });
  }
}

/** Records of a .csv or .tsv file (also .gz). @throws ERR_IO; ERR_DATA naming file and line on a ragged row. */
export async function* readDelimited(
  path: string, kind: "csv" | "tsv", options: DelimitedOptions = {},
): AsyncGenerator<Located<Record<string, string>>> {
  let columns = options.columns;
  const rows = kind === "csv" ? readCsvRows(readLines(path), path) : readTsvRows(readLines(path));
  for await (const { fields, line } of rows) {
    if (columns === undefined) {
      columns = fields;
      continue;
    }
    if (fields.length !== columns.length) {
      fail("ERR_DATA", `${path}:${line}: ${fields.length} fields, the header has ${columns.length} `
        + `(${columns.join(", ").slice(0, 80)})`, { path, line });
    }
    yield { value: Object.fromEntries(columns.map((name, index) => [name, fields[index]!])), line };
  }
}
