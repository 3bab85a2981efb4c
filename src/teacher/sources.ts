// A file or folder of teacher answers, read whole: rows by their shape, or the rationale strings of a folder.
// It does NOT match questions (see demonstrations.ts).

import { statSync } from "node:fs";
import { basename } from "node:path";
import { fail, messageOf } from "../errors";
import { readRows } from "../tasks/files";
import { type RationaleSplit, readRationales } from "../tasks/rationale-files";
import type { TeacherAnswer } from "./answers";
import { shapeOf } from "./shapes";

/** Columns of a headless rationale table. */
const TABLE = ["question", "answer", "rationale"] as const;

/**
 * All answers of `path`, in order. `teacher` names the writer; default: the file's name without its endings.
 */
export async function readAnswers(path: string, teacher?: string, split: RationaleSplit = "train"): Promise<TeacherAnswer[]> {
  if (isFolder(path)) return readRationaleFolder(path, split);
  const isTable = /\.tsv(?:\.gz)?$/i.test(path);
  const rows = await readRows(path, isTable ? { columns: TABLE } : {});
  const first = rows[0];
  if (first === undefined) fail("ERR_DATA", `${path} holds no rows`, { path });
  const shape = shapeOf(first);
  const writer = teacher ?? shape.writer ?? basename(path).replace(/\.(?:jsonl?|tsv|csv|parquet)(?:\.gz)?$/i, "");
  return rows.flatMap((row) => shape.read(row, writer));
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    return fail("ERR_IO", `cannot read ${path}: ${messageOf(error)}`, { path }, error);
  }
}

async function readRationaleFolder(path: string, split: RationaleSplit): Promise<TeacherAnswer[]> {
  const rows = await readRationales(path, split);
  return rows.flatMap((row) => row.chains.map((chain) => ({
    question: row.question,
    output: chain.text,
    teacher: chain.teacher,
    choices: row.choices,
    gold: row.choices[row.answer] ?? "",
    where: row.where,
  })));
}
