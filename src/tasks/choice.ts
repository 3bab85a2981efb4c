// Options of a multiple-choice question and how they are shown: "A) Michigan", one a line.
// It does NOT know any benchmark.

import { fail } from "../errors";
import type { Choice } from "../data/records";

export type { Choice } from "../data/records";

/** A, B, C, ... */
export function letter(index: number): string {
  return String.fromCharCode(65 + index);
}

/**
 * Texts to labelled options. Errors: ERR_DATA when there are fewer than 2 or more than 26, or one is no text.
 */
export function toChoices(texts: readonly unknown[], where: string): Choice[] {
  if (texts.length < 2 || texts.length > 26) {
    fail("ERR_DATA", `${where}: got ${texts.length} answer options, wanted 2 to 26`);
  }
  return texts.map((text, index) => {
    if (typeof text !== "string" || text.trim() === "") {
      fail("ERR_DATA", `${where}: option ${letter(index)} is ${JSON.stringify(text)}, wanted a text`);
    }
    return { label: letter(index), text: text.trim() };
  });
}

/** The label of the option whose text is `answer`, exactly. Errors: ERR_DATA when none or several match. */
export function labelOfText(choices: readonly Choice[], answer: string, where: string): string {
  const same = choices.filter((choice) => choice.text === answer.trim());
  const texts = choices.map((choice) => JSON.stringify(choice.text)).join(", ");
  // Two equal texts are equally right; the first is gold.
  return same[0]?.label ?? fail("ERR_DATA", `${where}: gold ${JSON.stringify(answer)} is none of the options ${texts}`);
}

/** "A, B, C" for the instruction. */
export function labelList(choices: readonly Choice[]): string {
  return choices.map((choice) => choice.label).join(", ");
}

/** "A) Michigan\nB) New York" */
export function choiceLines(choices: readonly Choice[]): string {
  return choices.map((choice) => `${choice.label}) ${choice.text}`).join("\n");
}
