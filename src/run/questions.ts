// The questions of a run: what is learned from, what is examined on, and the proof that the two share
// nothing. Train questions that recur in an evaluation set are left out or end the run. Always computed anew,
// since it is fast and everything hangs on it. It does NOT know models.
import type { RunConfig, TaskSource } from "../config/run-options";
import type { Domain, Question, Split } from "../data/records";
import { fail } from "../errors";
import { findLeaks, type LeakageReport } from "../evaluate/leakage";
import { hashJson } from "../files";
import { getTask, type Task } from "../tasks";
import { normalizeText, words } from "../tasks/text";

export interface EvaluationSet {
  domain: Domain;
  task: Task;
  split: Split;
  questions: readonly Question[];
  key: string;
}

export interface LeakageSummary {
  /** Of the questions as they came. */
  found: Omit<LeakageReport, "leaks">;
  /** The first leaks, for people. */
  examples: LeakageReport["leaks"];
  /** Train questions left out. */
  dropped: number;
  /** The same check on what is trained on: no evaluation question is in it. */
  left: number;
}

export interface RunQuestions {
  task: Task;
  split: Split;
  /** All questions of the split: what the teacher is judged on. */
  asked: readonly Question[];
  /** Those that recur in no evaluation set: what is trained on. */
  train: readonly Question[];
  /** Of `asked` and of `train`. */
  keys: { asked: string; train: string };
  sets: readonly EvaluationSet[];
  leakage: LeakageSummary;
}

const EXAMPLES_KEPT = 20;

/** What of a run decides its questions. */
export type QuestionOptions = Pick<RunConfig, "seed" | "wordproblems">;

function taskOf(source: TaskSource, run: QuestionOptions): Task {
  const given = Object.entries(run.wordproblems).filter(([, value]) => value !== undefined);
  return getTask(source.task, { wordproblems: { seed: run.seed, ...Object.fromEntries(given) } });
}

async function load(source: TaskSource, task: Task, split: Split): Promise<Question[]> {
  const questions = await task.load(source.data ?? "", split);
  return source.limit > 0 ? questions.slice(0, source.limit) : questions;
}

/** @throws ERR_IO, ERR_DATA naming the file */
export async function loadSet(
  source: TaskSource,
  domain: Domain,
  run: QuestionOptions,
): Promise<EvaluationSet> {
  const task = taskOf(source, run);
  const split = source.split ?? task.evaluationSplit;
  const questions = await load(source, task, split);
  return { domain, task, split, questions, key: hashJson(questions) };
}

const labelled = (questions: readonly Question[]): { id: string; text: string }[] =>
  questions.map(({ id, question }) => ({ id, text: question }));

function refuseLeaks(report: LeakageReport): never {
  const shown = report.leaks
    .filter(({ kind }) => kind === "exact")
    .slice(0, 5)
    .map(({ id, train_id }) => `  ${id} equals train question ${train_id}`);
  return fail(
    "ERR_DATA",
    `${report.exact} evaluation questions are in the train set:\n${shown.join("\n")}\n` +
      "use other splits, or set leakage: drop to leave them out of training",
    { exact: report.exact },
  );
}

/**
 * Train questions without those that recur in an evaluation set, and what was found. @throws ERR_DATA under
 * `error`
 */
function withoutLeaks(
  train: readonly Question[],
  sets: readonly EvaluationSet[],
  policy: RunConfig["leakage"],
): { kept: Question[]; leakage: LeakageSummary } {
  const evaluated = labelled(sets.flatMap(({ questions }) => questions));
  const report = findLeaks(labelled(train), evaluated);
  if (report.exact > 0 && policy === "error") refuseLeaks(report);
  const taken = new Set(evaluated.map(({ text }) => normalizeText(text)));
  const kept = train.filter(({ question }) => !taken.has(normalizeText(question)));
  const left = findLeaks(labelled(kept), evaluated).exact;
  if (left > 0) fail("ERR_INTERNAL", `${left} evaluation questions are still in the train set`);
  const { leaks, ...found } = report;
  return {
    kept,
    leakage: { found, examples: leaks.slice(0, EXAMPLES_KEPT), dropped: train.length - kept.length, left },
  };
}

/** @throws ERR_IO, ERR_DATA naming the file; ERR_DATA on leakage under the policy `error` */
export async function loadQuestions(run: RunConfig): Promise<RunQuestions> {
  const task = taskOf(run.tasks.train, run);
  const split = run.tasks.train.split ?? "train";
  const train = await load(run.tasks.train, task, split);
  const sets = [
    ...(await Promise.all(run.tasks.in_domain.map((source) => loadSet(source, "in", run)))),
    ...(await Promise.all(run.tasks.out_domain.map((source) => loadSet(source, "out", run)))),
  ];
  const { kept, leakage } = withoutLeaks(train, sets, run.leakage);
  if (kept.length === 0) {
    const why = train.length === 0
      ? `${task.name} ${split} has none`
      : `${train.length} were loaded, and all recur in the evaluation sets`;
    fail("ERR_DATA", `there are no train questions: ${why}`, { loaded: train.length });
  }
  const keys = { asked: hashJson(train), train: hashJson(kept) };
  return { task, split, asked: train, train: kept, keys, sets, leakage };
}

/** Words by which a question is looked up in a longer text. */
const HEAD_WORDS = 6;

/** Whether a text contains an evaluation question, whatever stands before and behind it. */
export function leakTest(sets: readonly EvaluationSet[]): (text: string) => boolean {
  const byHead = new Map<string, string[]>();
  const lengths = new Set<number>(); // of heads: a short question is all head
  for (const { question } of sets.flatMap(({ questions }) => questions)) {
    const list = words(question);
    const head = list.slice(0, HEAD_WORDS);
    if (head.length > 0) lengths.add(head.length);
    const key = head.join(" ");
    byHead.set(key, [...(byHead.get(key) ?? []), ` ${list.join(" ")} `]);
  }
  const sizes = [...lengths];
  return (text) => {
    const list = words(text);
    const whole = ` ${list.join(" ")} `;
    const isAt = (start: number, length: number): boolean =>
      byHead.get(list.slice(start, start + length).join(" "))?.some((question) => whole.includes(question)) ?? false;
    return list.some((_, start) => sizes.some((length) => isAt(start, length)));
  };
}
