// CommonsenseQA: five options. Files: CommonsenseQA.{train,dev}_rand_split.jsonl(.gz) as published (question
// {stem, choices}), or the Hugging Face files (question, choices {label, text}). The test split has no gold
// and is refused. It does NOT know the human rationales (see teacher/).

import type { Question, Split } from "../data/records";
import { type Row, hubNames, objectField, readSplit, scalarField, textField } from "./files";
import { keyed } from "./hub-choice";
import { type Task, choiceTask } from "./task";

const NAME = "commonsenseqa";

export const commonsenseqa: Task = choiceTask({
  name: NAME,
  splits: ["train", "validation"],
  evaluationSplit: "validation",
  load: async (dir, split) => {
    const own = split === "train" ? "train" : "dev";
    const rows = await readSplit(dir, [`CommonsenseQA.${own}_rand_split.jsonl`, ...hubNames(split)], NAME);
    return rows.map((row) => commonsenseqaQuestion(row, split));
  },
});

export function commonsenseqaQuestion(row: Row, split: Split): Question {
  const nested = typeof row.fields["question"] === "object";
  const holder = nested ? objectField(row, "question") : row;
  const text = textField(holder, nested ? "stem" : "question").trim();
  return { id: scalarField(row, "id"), task: NAME, split, question: text, ...keyed(row, holder) };
}
