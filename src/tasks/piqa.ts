// PIQA: two ways to reach a goal. Files: piqa_{valid,test}.json (the public validation set in two halves,
// gold as text); train questions stand inside the rationale files llm/train_CoT_<n>.json; or the Hugging Face
// files (goal, sol1, sol2, label 0/1). It does NOT know the rationales themselves (see teacher/).

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Question, Split } from "../data/records";
import { fail } from "../errors";
import { labelOfText, letter, toChoices } from "./choice";
import { type Row, hubNames, listField, readSplit, scalarField, textField } from "./files";
import { readRationales } from "./rationale-files";
import { type Task, choiceTask } from "./task";

const NAME = "piqa";

export const piqa: Task = choiceTask({
  name: NAME,
  splits: ["train", "validation", "test"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    if (split === "train" && existsSync(join(dir, "llm"))) return fromRationales(dir);
    const own = `piqa_${split === "validation" ? "valid" : split}.json`;
    const rows = await readSplit(dir, [own, ...hubNames(split)], NAME);
    return rows.map((row) => (row.fields["goal"] === undefined ? textGold(row, split) : fromHub(row, split)));
  },
});

async function fromRationales(dir: string): Promise<Question[]> {
  const rows = await readRationales(dir, "train");
  return rows.map((row, index) => ({
    id: `${NAME}-train-${index}`, task: NAME, split: "train", question: row.question,
    choices: toChoices(row.choices, row.where), gold: letter(row.answer),
  }));
}

function textGold(row: Row, split: Split): Question {
  const choices = toChoices(listField(row, "choices"), row.where);
  const gold = labelOfText(choices, textField(row, "answer"), row.where);
  const id = `${NAME}-${split}-${scalarField(row, "id")}`;
  return { id, task: NAME, split, question: textField(row, "question").trim(), choices, gold };
}

function fromHub(row: Row, split: Split): Question {
  const choices = toChoices([textField(row, "sol1"), textField(row, "sol2")], row.where);
  const label = scalarField(row, "label");
  if (label !== "0" && label !== "1") fail("ERR_DATA", `${row.where}: label is "${label}", wanted 0 or 1`);
  const id = `${NAME}-${split}-${row.index}`;
  return { id, task: NAME, split, question: textField(row, "goal").trim(), choices, gold: letter(Number(label)) };
}
