// Whether a chain of thought states its answer before it reasons, as some teachers do and students learn from them.
// It does NOT judge the answer.

import type { Question } from "../data/records";
import type { Task } from "./task";
import { cutRunOn, sentences } from "./text";

/** True: explicit answer in the first sentence, more behind it. Null: there is one sentence, so no order. */
export function answersFirst(task: Task, question: Question, output: string): boolean | null {
  const said = sentences(cutRunOn(output)).filter((one) => !/^let['’]s think/i.test(one));
  const [first] = said;
  return first === undefined || said.length < 2 ? null : task.explicit(first, question) !== null;
}
