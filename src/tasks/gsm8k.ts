// GSM8K: grade-school word problems with a human chain; gold stands behind "####". Files:
// {train,test}.jsonl(.gz) as published, or the Hugging Face Parquet of the config "main". It has no
// validation split. It does NOT know who else solved these questions (see teacher/).

import { fail } from "../errors";
import type { Question, Split } from "../data/records";
import { normalNumber } from "./extract-number";
import { plainMath } from "./find-numbers";
import { type Row, hubNames, readSplit, textField } from "./files";
import { type Task, mathTask } from "./task";

const NAME = "gsm8k";

export const gsm8k: Task = mathTask({
  name: NAME,
  splits: ["train", "test"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    const rows = await readSplit(dir, hubNames(split), NAME);
    return rows.map((row) => gsm8kQuestion(row, split));
  },
});

/** One row {question, answer} of GSM8K. Errors: ERR_DATA when no number stands behind "####". */
export function gsm8kQuestion(row: Row, split: Split): Question {
  const answer = textField(row, "answer");
  const at = answer.lastIndexOf("####");
  const gold = at < 0 ? null : normalNumber(answer.slice(at + 4));
  if (gold === null) {
    fail("ERR_DATA", `${row.where}: answer ends ${JSON.stringify(answer.slice(-30))}, wanted "#### <number>"`);
  }
  return {
    id: `${NAME}-${split}-${row.index}`,
    task: NAME,
    split,
    question: textField(row, "question").trim(),
    gold,
    rationale: plainMath(answer.slice(0, at)).trim(),
  };
}
