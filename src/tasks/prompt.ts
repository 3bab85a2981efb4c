// The teacher's zero-shot prompt, in the layout the method publishes.
// It does NOT know the student's template or its trigger (see text/templates.ts).

import type { Question } from "../data/records";
import type { Task } from "./task";

/** The teacher's variant of the trigger, hyphens and all, as its published prompt spells it. */
export const TEACHER_TRIGGER = "Let's think step-by-step";

/** Instruction, question, options, then "Answer:" and (with reasoning asked for) the trigger. */
export function teacherPrompt(task: Task, question: Question, withTrigger = true): string {
  const lines = [task.instruction(question), task.input(question), withTrigger ? `Answer: ${TEACHER_TRIGGER}` : "Answer:"];
  return lines.join("\n");
}
