// Teacher answers to demonstrations: each is tied to a question of the wanted split, its final answer read
// strictly and compared with gold, then filtered; everything is counted. It does NOT read files (sources.ts),
// find the questions (match.ts), apply templates, or call teachers.

import type { Demonstration, Question } from "../data/records";
import { answersFirst } from "../tasks/answer-order";
import { isCutOff, sentences } from "../tasks/text";
import type { Task } from "../tasks/task";
import type { TeacherAnswer } from "./answers";
import { type Match, matchQuestions, ownQuestion } from "./match";

export type DemoFilter = "none" | "correct";

export interface TeacherCounts {
  demonstrations: number;
  /** A final answer could be read. */
  extracted: number;
  /** Of those with gold. */
  with_gold: number;
  correct: number;
  /** The answer stands before the reasoning, of `order_known`. */
  answer_first: number;
  order_known: number;
  cut_off: number;
  /** After the filter. */
  kept: number;
}

export interface DemonstrationReport {
  task: string;
  filter: DemoFilter;
  /** Questions of the split, and those with at least one kept demonstration. */
  questions: number;
  covered: number;
  /** Answers in the source to questions that are not in the split: never used. */
  not_in_split: number;
  total: TeacherCounts;
  by_teacher: Record<string, TeacherCounts>;
}

export interface DemonstrationSet {
  demonstrations: Demonstration[];
  report: DemonstrationReport;
}

export interface DemonstrationOptions {
  filter?: DemoFilter;
  /** At most so many kept per question, the first of the source. Default: all. */
  max_per_question?: number;
}

/** Demonstrations for `questions` (one split of `task`) out of `answers`. */
export function demonstrate(
  task: Task, questions: readonly Question[], answers: readonly TeacherAnswer[], options: DemonstrationOptions = {},
): DemonstrationSet {
  const { matched, unmatched } = matchQuestions(questions, answers);
  return filterAndCount(task, matched, questions.length, unmatched, options);
}

/** Demonstrations whose questions are those of the file itself. */
export function demonstrateStandalone(
  task: Task, answers: readonly TeacherAnswer[], options: DemonstrationOptions = {},
): DemonstrationSet {
  const matched = answers.map((answer, index) => ({ question: ownQuestion(task, answer, index), answer }));
  return filterAndCount(task, matched, matched.length, 0, options);
}

/** One answer as a demonstration of one question, judged. */
export function demonstration(task: Task, question: Question, answer: TeacherAnswer): Demonstration {
  const output = answer.unstated === true ? `${answer.output}\n${statedAnswer(question)}` : answer.output;
  const target = task.extract(output, question);
  const gold = question.gold === "" ? null : question.gold;
  return {
    id: question.id,
    task: task.name,
    instruction: answer.instruction ?? task.instruction(question),
    input: answer.input ?? task.input(question),
    output,
    target,
    gold,
    correct: gold === null ? null : target !== null && task.equal(target, gold),
    teacher: answer.teacher,
    answer_first: target === null ? null : answersFirst(task, question, output),
    cut_off: isCutOff(output) && !endsInAnswer(task, question, output),
  };
}

/** "The answer is 72." or "The answer is B) wood." */
export function statedAnswer(question: Question): string {
  const option = question.choices?.find((choice) => choice.label === question.gold);
  const answer = option === undefined ? question.gold : `${option.label}) ${option.text.replace(/[.\s]+$/, "")}`;
  return `The answer is ${answer}.`;
}

/** An answer or an option's text closes a chain, with or without a full stop. */
function endsInAnswer(task: Task, question: Question, output: string): boolean {
  const last = sentences(output).at(-1) ?? "";
  const option = question.choices?.some((choice) => output.endsWith(choice.text)) ?? false;
  return option || task.explicit(last, question) !== null;
}

function filterAndCount(
  task: Task, matched: readonly Match[], questions: number, unmatched: number, options: DemonstrationOptions,
): DemonstrationSet {
  const { filter = "none", max_per_question = Infinity } = options;
  const perQuestion = new Map<string, number>();
  const demonstrations: Demonstration[] = [];
  const total = emptyCounts();
  const byTeacher: Record<string, TeacherCounts> = {};
  for (const { question, answer } of matched) {
    const one = demonstration(task, question, answer);
    const before = perQuestion.get(one.id) ?? 0;
    const kept = before < max_per_question && (filter === "none" || one.correct === true);
    for (const counts of [total, (byTeacher[one.teacher] ??= emptyCounts())]) count(counts, one, kept);
    if (!kept) continue;
    perQuestion.set(one.id, before + 1);
    demonstrations.push(one);
  }
  const covered = perQuestion.size;
  return {
    demonstrations,
    report: { task: task.name, filter, questions, covered, not_in_split: unmatched, total, by_teacher: byTeacher },
  };
}

function emptyCounts(): TeacherCounts {
  return {
    demonstrations: 0, extracted: 0, with_gold: 0, correct: 0, answer_first: 0, order_known: 0, cut_off: 0, kept: 0,
  };
}

function count(counts: TeacherCounts, one: Demonstration, kept: boolean): void {
  counts.demonstrations += 1;
  counts.extracted += Number(one.target !== null);
  counts.with_gold += Number(one.gold !== null);
  counts.correct += Number(one.correct === true);
  counts.answer_first += Number(one.answer_first === true);
  counts.order_known += Number(one.answer_first !== null);
  counts.cut_off += Number(one.cut_off === true);
  counts.kept += Number(kept);
}
