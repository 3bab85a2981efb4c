// Finding and reading the files of a benchmark: the first name that exists in its folder, row by row with a place to
// name in errors, and typed access to fields.
// It does NOT know any benchmark, nor file formats (see data/table.ts).

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../errors";
import { readRecords } from "../data/table";

/** A row with the place it stands at, for messages. */
export interface Row {
  fields: Readonly<Record<string, unknown>>;
  /** "path row 12" */
  where: string;
  index: number;
}

/** Each name also with ".gz". Errors: ERR_IO naming the folder and every name that was looked for. */
export function findFile(dir: string, names: readonly string[], task: string): string {
  const tried = names.flatMap((name) => [name, `${name}.gz`]);
  const found = tried.map((name) => join(dir, name)).find((path) => existsSync(path));
  return found ?? fail("ERR_IO", `${task}: ${dir} holds none of ${tried.join(", ")}; point the task at its folder`,
    { task, dir, tried });
}

/** Errors: those of readRecords; ERR_DATA when a row is no object. */
export async function readRows(path: string): Promise<Row[]> {
  const records: readonly unknown[] = await readRecords(path);
  return records.map((record, index) => {
    const where = `${path} row ${index + 1}`;
    if (typeof record !== "object" || record === null || Array.isArray(record)) {
      fail("ERR_DATA", `${where}: got ${JSON.stringify(record)?.slice(0, 60)}, wanted an object`, { path, row: index + 1 });
    }
    return { fields: record as Record<string, unknown>, where, index };
  });
}

export async function readSplit(dir: string, names: readonly string[], task: string): Promise<Row[]> {
  return readRows(findFile(dir, names, task));
}

/** A non-empty text. Errors: ERR_DATA naming the row, the field and what stood there. */
export function textField(row: Row, field: string): string {
  const value = row.fields[field];
  if (typeof value === "string" && value.trim() !== "") return value;
  const fields = Object.keys(row.fields).join(", ");
  return fail("ERR_DATA", `${row.where}: field "${field}" is ${JSON.stringify(value) ?? "absent"}, wanted a text; `
    + `the row has ${fields}`, { field });
}

/** A text, or a number written as one. */
export function scalarField(row: Row, field: string): string {
  const value = row.fields[field];
  return typeof value === "number" || typeof value === "bigint" ? String(value) : textField(row, field);
}

export function listField(row: Row, field: string): readonly unknown[] {
  const value = row.fields[field];
  if (Array.isArray(value)) return value as unknown[];
  return fail("ERR_DATA", `${row.where}: field "${field}" is ${JSON.stringify(value)?.slice(0, 60) ?? "absent"}, wanted a list`,
    { field });
}

/** A nested object such as `question: {stem, choices}`, as a row of its own. */
export function objectField(row: Row, field: string): Row {
  const value = row.fields[field];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { ...row, fields: value as Record<string, unknown> };
  }
  return fail("ERR_DATA", `${row.where}: field "${field}" is ${JSON.stringify(value) ?? "absent"}, wanted an object`, { field });
}

/** Names a Hugging Face split may go by on disk. */
export function hubNames(split: string): string[] {
  return [`${split}.jsonl`, `${split}.json`, `${split}-00000-of-00001.parquet`, `${split}.parquet`,
    `data/${split}-00000-of-00001.parquet`, `main/${split}-00000-of-00001.parquet`, `default/${split}/0000.parquet`];
}
