// SVAMP: one-step word problems built to defeat shortcuts. Files, any of: {train,dev,test}.json(.gz) with
// instruction and label; the whole SVAMP.json (Body, Question, Answer); the Hugging Face files (same
// capitals). It does NOT know the teachers' chains in the train file (see teacher/).

import type { Question, Split } from "../data/records";
import { fail } from "../errors";
import { normalNumber } from "./extract-number";
import { type Row, hubNames, readSplit, scalarField, textField } from "./files";
import { type Task, mathTask } from "./task";

const NAME = "svamp";

export const svamp: Task = mathTask({
  name: NAME,
  splits: ["train", "validation", "test", "all"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    const rows = await readSplit(dir, filesOf(split), NAME);
    return rows.map((row) => svampQuestion(row, split));
  },
});

function filesOf(split: Split): string[] {
  if (split === "all") return ["SVAMP.json"];
  return split === "validation" ? ["dev.json", ...hubNames(split)] : hubNames(split);
}

/** One row in either spelling. Errors: ERR_DATA when the gold is no number. */
export function svampQuestion(row: Row, split: Split): Question {
  const short = row.fields["instruction"] !== undefined;
  const text = short ? textField(row, "instruction") : `${body(textField(row, "Body"))} ${textField(row, "Question")}`;
  const answer = scalarField(row, short ? "label" : "Answer");
  const gold = normalNumber(answer);
  if (gold === null) fail("ERR_DATA", `${row.where}: gold is ${JSON.stringify(answer)}, wanted a number`);
  return { id: `${NAME}-${split}-${row.index}`, task: NAME, split, question: text.trim(), gold };
}

/** The set's bodies lack their closing stop. */
function body(text: string): string {
  const trimmed = text.trim();
  return /[.!?,]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
