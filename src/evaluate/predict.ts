// A completion judged against gold: the one place where evaluation extracts and compares.
// It does NOT generate completions.

import type { Domain, Prediction, Question } from "../data/records";
import type { Task } from "../tasks/task";

/** The record of one evaluated completion. */
export function judge(
  task: Task, question: Question, domain: Domain, generated: { prompt: string; completion: string },
): Prediction {
  const answer = task.extract(generated.completion, question);
  return {
    id: question.id, task: task.name, domain, prompt: generated.prompt, completion: generated.completion,
    answer, gold: question.gold, correct: answer !== null && task.equal(answer, question.gold),
  };
}
