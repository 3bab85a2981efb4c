// MultiArith: 600 two-step word problems. Files: MultiArith.json with split.json (train and test as row
// numbers), or the Hugging Face train/test files (question, final_ans). Ids are row numbers of the whole set
// where there is one, else of the split, with its name: two splits may be examined in one run. It does NOT
// know the teachers' files.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../errors";
import type { Question, Split } from "../data/records";
import { normalNumber } from "./extract-number";
import { type Row, findFile, hubNames, listField, readRows, scalarField, textField } from "./files";
import { type Task, mathTask } from "./task";

const NAME = "multiarith";

export const multiarith: Task = mathTask({
  name: NAME,
  splits: ["train", "test", "all"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    if (!existsSync(join(dir, "MultiArith.json"))) return fromHub(dir, split);
    const rows = await readRows(join(dir, "MultiArith.json"));
    const chosen = split === "all" ? rows.map((_, index) => index) : readSplitIndex(dir, split, rows.length);
    return chosen.map((index) => fromOriginal(rows[index]!, split));
  },
});

async function fromHub(dir: string, split: Split): Promise<Question[]> {
  const rows = await readRows(findFile(dir, ["MultiArith.json", ...hubNames(split)], NAME));
  return rows.map((row) => {
    const id = `${NAME}-${split}-${row.index}`;
    return question(row, id, split, textField(row, "question"), scalarField(row, "final_ans"));
  });
}

function fromOriginal(row: Row, split: Split): Question {
  const solutions = listField(row, "lSolutions");
  if (solutions.length !== 1) fail("ERR_DATA", `${row.where}: lSolutions has ${solutions.length} numbers, wanted 1`);
  return question(row, `${NAME}-${row.index}`, split, textField(row, "sQuestion"), String(solutions[0]));
}

function question(row: Row, id: string, split: Split, text: string, answer: string): Question {
  const gold = normalNumber(answer);
  if (gold === null) fail("ERR_DATA", `${row.where}: gold is ${JSON.stringify(answer)}, wanted a number`);
  return { id, task: NAME, split, question: text.trim(), gold };
}

function readSplitIndex(dir: string, split: Split, rows: number): number[] {
  const path = join(dir, "split.json");
  if (!existsSync(path)) fail("ERR_IO", `${path} is missing: it names the rows of each split; or load split "all"`);
  let table: unknown;
  try {
    table = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    fail("ERR_DATA", `${path} is no JSON: ${String(error)}`, { path }, error);
  }
  const index = (table as Record<string, unknown> | null)?.[split];
  const valid = Array.isArray(index)
    && index.every((one) => Number.isInteger(one) && (one as number) >= 0 && (one as number) < rows);
  if (!valid) fail("ERR_DATA", `${path}: "${split}" is not a list of row numbers below ${rows}`, { path, split });
  return index as number[];
}
