// The words around a question that the method itself fixes: the trigger and the teacher's zero-shot prompt.
// It does NOT know the student's template (Alpaca, chat): that is the tokenizer's business.

import type { Question } from "../data/records";
import type { Task } from "./task";

/** Appended to a student's prompt to ask for reasoning. */
export const COT_TRIGGER = "Let's think step by step";
/** The teacher's variant, as its published prompt spells it. */
export const TEACHER_TRIGGER = "Let's think step-by-step";

/** Instruction, question, options, then "Answer:" and (with reasoning asked for) the trigger. */
export function teacherPrompt(task: Task, question: Question, withTrigger = true): string {
  const lines = [task.instruction(question), task.input(question), withTrigger ? `Answer: ${TEACHER_TRIGGER}` : "Answer:"];
  return lines.join("\n");
}
