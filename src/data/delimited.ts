// CSV and TSV as records of strings. CSV follows RFC 4180 (quotes, doubled quotes, line breaks inside quotes); TSV has
// no quoting at all, as its registration says, so a `"` in a TSV field is a character like any other.
// It does NOT guess types: every field is a string.
import { fail } from "../errors";
import type { Located } from "./jsonl";
import { type Line, MAX_LINE_BYTES, readLines } from "./lines";

export interface DelimitedOptions {
  /** Names of the columns of a file that has no header line. Default: the first line names them. */
  readonly columns?: readonly string[];
}

interface Row {
  readonly fields: string[];
  readonly line: number;
}

async function* readTsvRows(lines: AsyncIterable<Line>): AsyncGenerator<Row> {
  for await (const { text, number } of lines) {
    if (text !== "") yield { fields: text.split("\t"), line: number };
  }
}

/** A CSV row that takes its lines one by one, each read once: a field whose quote is never closed costs no more. */
class CsvRow {
  readonly fields: string[] = [];
  /** A quoted field is open at the end of the last line. */
  isOpen = false;
  private value = "";
  private size = 0;

  constructor(private readonly path: string, readonly line: number) {}

  add(text: string): void {
    this.size += text.length;
    if (this.size > MAX_LINE_BYTES) this.neverClosed();
    if (this.isOpen) this.value += "\n";
    let at = this.isOpen ? this.quoted(text, 0) : this.field(text, 0);
    while (at < text.length) at = this.field(text, at + 1);
  }

  neverClosed(): never {
    return fail("ERR_DATA", `${this.path}:${this.line}: a quoted field is never closed`,
      { path: this.path, line: this.line });
  }

  /** Reads the field at `at`; @returns where it ends: at a comma, or at the end of the text. */
  private field(text: string, at: number): number {
    this.value = "";
    return text[at] === "\"" ? this.quoted(text, at + 1) : this.end(text, at);
  }

  private quoted(text: string, begin: number): number {
    for (let at = begin; ; at += 2) {
      const quote = text.indexOf("\"", at);
      this.isOpen = quote < 0;
      this.value += text.slice(at, this.isOpen ? undefined : quote);
      if (this.isOpen) return text.length;
      if (text[quote + 1] !== "\"") return this.end(text, quote + 1);
      this.value += "\"";
      at = quote;
    }
  }

  private end(text: string, at: number): number {
    const comma = text.indexOf(",", at);
    const end = comma < 0 ? text.length : comma;
    this.fields.push(this.value + text.slice(at, end));
    return end;
  }
}

async function* readCsvRows(lines: AsyncIterable<Line>, path: string): AsyncGenerator<Row> {
  let open: CsvRow | null = null;
  for await (const { text, number } of lines) {
    if (open === null && text === "") continue;
    const row: CsvRow = open ?? new CsvRow(path, number);
    row.add(text);
    open = row.isOpen ? row : null;
    if (open === null) yield row;
  }
  open?.neverClosed();
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
