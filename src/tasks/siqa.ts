// SocialIQA: three options about people. Files: social_i_qa.test.json (the public validation set written as
// one instruction string with "Answer1: ... Answer2: ... Answer3: ..." and the gold "answer2"), or the
// Hugging Face files (context, question, answerA..C, label 1-3). The single file serves as validation and as
// test. It does NOT know any train split: the file has none.

import type { Question, Split } from "../data/records";
import { fail } from "../errors";
import { toChoices } from "./choice";
import { type Row, hubNames, readSplit, scalarField, textField } from "./files";
import { type Task, choiceTask } from "./task";

const NAME = "siqa";
const PACKED = /^Please choose the correct answer to the question: (.*?)\s*\n+Answer1: (.*?) Answer2: (.*?) Answer3: (.*?)\s*\n+Answer format/s;

export const siqa: Task = choiceTask({
  name: NAME,
  splits: ["train", "validation", "test"],
  evaluationSplit: "test",
  load: async (dir, split) => {
    const own = split === "train" ? [] : ["social_i_qa.test.json"];
    const rows = await readSplit(dir, [...own, ...hubNames(split)], NAME);
    return rows.map((row) => (row.fields["context"] === undefined ? packed(row, split) : fromHub(row, split)));
  },
});

function packed(row: Row, split: Split): Question {
  const parts = PACKED.exec(textField(row, "instruction"));
  if (parts === null) {
    fail("ERR_DATA", `${row.where}: instruction is not "Please choose ... Answer1: ... Answer2: ... Answer3: ..."`);
  }
  const number = /^answer([1-3])$/.exec(textField(row, "answer"))?.[1];
  return build(row, split, parts[1] ?? "", parts.slice(2, 5), number ?? "");
}

function fromHub(row: Row, split: Split): Question {
  const options = ["answerA", "answerB", "answerC"].map((field) => textField(row, field));
  const text = `${textField(row, "context").trim()} ${textField(row, "question").trim()}`;
  return build(row, split, text, options, scalarField(row, "label").trim());
}

function build(row: Row, split: Split, text: string, options: readonly string[], number: string): Question {
  const choices = toChoices(options, row.where);
  const gold = choices[Number(number) - 1]?.label;
  if (gold === undefined) fail("ERR_DATA", `${row.where}: gold is option "${number}", wanted 1, 2 or 3`);
  return { id: `${NAME}-${split}-${row.index}`, task: NAME, split, question: text.trim(), choices, gold };
}
