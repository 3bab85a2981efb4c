// Finding and reading the files of a benchmark: the first name that exists in its folder, row by row with a
// place to name in errors, and typed access to fields. It does NOT know any benchmark, nor file formats (see
// data/table.ts).

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../errors";
import type { DelimitedOptions } from "../data/delimited";
import { streamRecords } from "../data/table";

/** A row with the place it stands at, for messages. */
export interface Row {
  fields: Readonly<Record<string, unknown>>;
  /** "path:12": a line of text, or a row of a JSON array or Parquet file. */
  where: string;
  /** Its number among the rows, from 0. */
  index: number;
}

/** Each name also with ".gz". Errors: ERR_IO naming the folder and every name that was looked for. */
export function findFile(dir: string, names: readonly string[], task: string): string {
  const tried = names.flatMap((name) => [name, `${name}.gz`]);
  const found = tried.map((name) => join(dir, name)).find((path) => existsSync(path));
  return found ?? fail("ERR_IO", `${task}: ${dir} holds none of ${tried.join(", ")}; point the task at its folder`,
    { task, dir, tried });
}

/** Errors: those of streamRecords; ERR_DATA when a row is no object. */
export async function readRows(path: string, options: DelimitedOptions = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const { value, line } of streamRecords(path, options)) {
    const where = `${path}:${line}`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      fail("ERR_DATA", `${where}: got ${JSON.stringify(value)?.slice(0, 60)}, wanted an object`, { path, line });
    }
    rows.push({ fields: value as Record<string, unknown>, where, index: rows.length });
  }
  return rows;
}

export async function readSplit(dir: string, names: readonly string[], task: string): Promise<Row[]> {
  return readRows(findFile(dir, names, task));
}

/** A non-empty text. Errors: ERR_DATA naming the row, the field and what stood there. */
export function textField(row: Row, field: string): string {
  const value = row.fields[field];
  if (typeof value === "string" && value.trim() !== "") return value;
  return wrongField(row, field, "a text");
}

/** A text, or a number written as one. */
export function scalarField(row: Row, field: string): string {
  const value = row.fields[field];
  return typeof value === "number" || typeof value === "bigint" ? String(value) : textField(row, field);
}

export function listField(row: Row, field: string): readonly unknown[] {
  const value = row.fields[field];
  if (Array.isArray(value)) return value as unknown[];
  return wrongField(row, field, "a list");
}

/** A nested object such as `question: {stem, choices}`, as a row of its own. */
export function objectField(row: Row, field: string): Row {
  const value = row.fields[field];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { ...row, fields: value as Record<string, unknown> };
  }
  return wrongField(row, field, "an object");
}

function wrongField(row: Row, field: string, wanted: string): never {
  const got = JSON.stringify(row.fields[field])?.slice(0, 60) ?? "absent";
  const fields = Object.keys(row.fields).join(", ");
  return fail("ERR_DATA", `${row.where}: field "${field}" is ${got}, wanted ${wanted}; the row has ${fields}`, { field });
}

/** Names a Hugging Face split may go by on disk. */
export function hubNames(split: string): string[] {
  return [`${split}.jsonl`, `${split}.json`, `${split}-00000-of-00001.parquet`, `${split}.parquet`,
    `data/${split}-00000-of-00001.parquet`, `main/${split}-00000-of-00001.parquet`, `default/${split}/0000.parquet`];
}
