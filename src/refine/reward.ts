// The reward of the second phase: a sampled path is right when its final answer, read strictly, equals the
// target. The target is the teacher's answer or the gold one. It does NOT prefer one right path to another.

import type { Demonstration, Question, SampledPath } from "../data/records";
import type { Task } from "../tasks/task";

export type TargetSource = "teacher" | "gold";

/**
 * What each question's samples are compared with, by id. From the teacher: what most of its demonstrations end in,
 * the earliest of equals. Questions without a target are absent.
 */
export function targetsOf(
  task: Task, questions: readonly Question[], demonstrations: readonly Demonstration[], source: TargetSource,
): Map<string, string> {
  if (source === "gold") return new Map(questions.map((question) => [question.id, question.gold]));
  const byId = groupById(demonstrations);
  const targets = new Map<string, string>();
  for (const question of questions) {
    const answers = (byId.get(question.id) ?? []).flatMap((one) => (one.target === null ? [] : [one.target]));
    const target = majority(answers, task.equal);
    if (target !== null) targets.set(question.id, target);
  }
  return targets;
}

/** The path with its answer and verdict; an unreadable answer is wrong. */
export function scorePath(task: Task, question: Question, path: SampledPath, target: string): SampledPath {
  const answer = task.extract(path.completion, question);
  return { ...path, answer, target, correct: answer !== null && task.equal(answer, target) };
}

/** The most frequent answer under `equal`, the earliest of equals; null of none. */
export function majority(answers: readonly string[], equal: (a: string, b: string) => boolean): string | null {
  const classes: { answer: string; votes: number }[] = [];
  for (const answer of answers) {
    const same = classes.find((one) => equal(one.answer, answer));
    if (same === undefined) classes.push({ answer, votes: 1 });
    else same.votes += 1;
  }
  return classes.reduce<{ answer: string | null; votes: number }>(
    (best, one) => (one.votes > best.votes ? one : best), { answer: null, votes: 0 }).answer;
}

/** Records of each id, in order. */
export function groupById<T extends { id: string }>(records: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const record of records) {
    const group = groups.get(record.id);
    if (group === undefined) groups.set(record.id, [record]);
    else group.push(record);
  }
  return groups;
}
