// OpenBookQA: four-option elementary science. Files: obqa_{train,valid,test}.json(.gz), JSON Lines with the
// gold as text; or the Hugging Face files of "main" (question_stem, choices {text, label}, answerKey). It
// does NOT know the teachers' rationales (see teacher/).

import type { Question, Split } from "../data/records";
import { labelOfText, toChoices } from "./choice";
import { keyed } from "./hub-choice";
import { type Row, hubNames, listField, readSplit, scalarField, textField } from "./files";
import { type Task, choiceTask } from "./task";

const NAME = "openbookqa";

export const openbookqa: Task = choiceTask({
  name: NAME,
  splits: ["train", "validation", "test"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    const own = `obqa_${split === "validation" ? "valid" : split}.json`;
    const rows = await readSplit(dir, [own, ...hubNames(split)], NAME);
    return rows.map((row) => (row.fields["question_stem"] === undefined ? textGold(row, split) : fromHub(row, split)));
  },
});

function textGold(row: Row, split: Split): Question {
  const choices = toChoices(listField(row, "choices"), row.where);
  const gold = labelOfText(choices, textField(row, "answer"), row.where);
  return { id: scalarField(row, "id"), task: NAME, split, question: textField(row, "question").trim(), choices, gold };
}

function fromHub(row: Row, split: Split): Question {
  return {
    id: scalarField(row, "id"), task: NAME, split, question: textField(row, "question_stem").trim(),
    ...keyed(row, row),
  };
}
