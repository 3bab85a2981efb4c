// Options and gold as Hugging Face's commonsense sets spell them: choices as {text: [...], label: [...]} or
// as a list of {label, text}, and `answerKey`. Labels that are digits (1-4) become letters, since letters are
// what is shown. It does NOT know any benchmark.

import { fail } from "../errors";
import { type Choice, toChoices } from "./choice";
import { type Row, listField, objectField, textField } from "./files";

/**
 * `holder` has `choices`, `row` has `answerKey`. Errors: ERR_DATA; unlabelled test rows are refused by name.
 */
export function keyed(row: Row, holder: Row): { choices: Choice[]; gold: string } {
  const { texts, labels } = readChoices(holder);
  const choices = toChoices(texts, row.where);
  const key = row.fields["answerKey"];
  if (typeof key !== "string" || key === "") {
    fail("ERR_DATA", `${row.where}: answerKey is ${JSON.stringify(key) ?? "absent"}: this split has no gold answers`);
  }
  const gold = choices[labels.indexOf(key)]?.label;
  return gold === undefined
    ? fail("ERR_DATA", `${row.where}: answerKey "${key}" is none of the labels ${labels.join(", ")}`)
    : { choices, gold };
}

function readChoices(holder: Row): { texts: unknown[]; labels: unknown[] } {
  if (!Array.isArray(holder.fields["choices"])) {
    const columns = objectField(holder, "choices");
    return { texts: [...listField(columns, "text")], labels: [...listField(columns, "label")] };
  }
  const options = listField(holder, "choices").map((fields) => ({ ...holder, fields: (fields ?? {}) as Row["fields"] }));
  return { texts: options.map((one) => textField(one, "text")), labels: options.map((one) => textField(one, "label")) };
}
