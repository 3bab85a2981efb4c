// Asks a teacher all questions of a split, several at a time, and keeps every answer as it arrives: a run
// that was stopped or killed goes on from its file and asks nothing twice. The finished file is in the order
// of the questions. It does NOT judge answers (see demonstrations.ts).

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fail } from "../errors";
import type { Question } from "../data/records";
import { JsonlWriter, readJsonl, writeJsonl } from "../data/jsonl";
import { stableJson } from "../files";
import { teacherPrompt } from "../tasks/prompt";
import type { Task } from "../tasks/task";
import { normalizeText } from "../tasks/text";
import type { TeacherAnswer } from "./answers";
import type { ChatClient, ChatMessage } from "./openai";

export interface AskOptions {
  task: Task;
  questions: readonly Question[];
  client: Pick<ChatClient, "complete" | "model" | "settings">;
  /** The finished JSON Lines file; while unfinished it is `<path>.partial`. */
  path: string;
  /** Answers of each question. */
  samples?: number;
  /** Requests in flight. */
  concurrency?: number;
  /** False: without "Let's think step-by-step". */
  trigger?: boolean;
  system?: string;
  seed?: number;
  signal?: AbortSignal;
  onProgress?(done: number, total: number): void;
}

/** One line of the file. */
export interface AskedAnswer {
  id: string;
  task: string;
  sample: number;
  prompt: string;
  question: string;
  output: string;
  finish_reason: string | null;
  teacher: string;
  /** How it was asked: the client's settings, system prompt and seed. */
  settings: Readonly<Record<string, unknown>>;
}

interface Job {
  question: Question;
  sample: number;
  /** Position in the finished file. */
  index: number;
}

/** Errors: those of the client and of writing; ERR_DATA when the partial file belongs to another run. */
export async function askTeacher(options: AskOptions): Promise<AskedAnswer[]> {
  const { questions, path, samples = 1 } = options;
  const jobs = questions.flatMap((question, at) =>
    Array.from({ length: samples }, (_, sample): Job => ({ question, sample, index: at * samples + sample })));
  const partial = `${path}.partial`;
  const writer = await JsonlWriter.open(partial); // cuts a half-written last line off
  const answers = new Map<string, AskedAnswer>();
  try {
    await readEarlier(partial, options, jobs, answers);
    const open = jobs.filter((job) => !answers.has(jobKey(job.question.id, job.sample)));
    await work(open, jobs.length, options, async (answer) => {
      answers.set(jobKey(answer.id, answer.sample), answer);
      await writer.write(answer);
      await writer.flush();
      return answers.size;
    });
  } finally {
    await writer.close();
  }
  const ordered = jobs.map((job) => answers.get(jobKey(job.question.id, job.sample)) as AskedAnswer);
  await writeJsonl(path, ordered);
  await rm(partial, { force: true });
  return ordered;
}

/** What was asked, in the form the demonstrations are made from. */
export function askedToAnswers(asked: readonly AskedAnswer[]): TeacherAnswer[] {
  return asked.map(({ id, sample, question, output, teacher }) => ({
    question, output: output.trim(), teacher, where: `${id}#${sample}`,
  }));
}

function jobKey(id: string, sample: number): string {
  return `${id}\u0000${sample}`;
}

/** What was asked with other settings is of another teacher: half of one is never joined to half of another. */
async function readEarlier(
  partial: string, options: AskOptions, jobs: readonly Job[], answers: Map<string, AskedAnswer>,
): Promise<void> {
  if (!existsSync(partial)) return;
  const byKey = new Map(jobs.map((job) => [jobKey(job.question.id, job.sample), job]));
  for await (const { value, line } of readJsonl(partial)) {
    const earlier = value as AskedAnswer;
    const job = byKey.get(jobKey(earlier.id, earlier.sample));
    const same = job !== undefined && normalizeText(job.question.question) === normalizeText(earlier.question ?? "")
      && earlier.prompt === teacherPrompt(options.task, job.question, options.trigger)
      && stableJson(earlier.settings ?? null) === stableJson(settingsOf(job, options));
    if (!same) {
      fail("ERR_DATA", `${partial}:${line}: holds an answer to another question or prompt, or one asked for with other `
        + `settings ("${String(earlier.id)}"); remove the file to ask anew`, { path: partial, line });
    }
    answers.set(jobKey(earlier.id, earlier.sample), earlier);
  }
}

/**
 * A pool of workers over one queue; the first error stops them all and is thrown when every request has
 * ended.
 */
async function work(
  jobs: readonly Job[], total: number, options: AskOptions, keep: (answer: AskedAnswer) => Promise<number>,
): Promise<void> {
  const { concurrency = 8, signal, onProgress } = options;
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let next = 0;
  let chain: Promise<unknown> = Promise.resolve();
  const worker = async (): Promise<void> => {
    while (next < jobs.length && !both.aborted) {
      const job = jobs[next++]!;
      const answer = await ask(job, options, both);
      const kept = chain.then(() => keep(answer)); // one write at a time
      chain = kept.catch(() => undefined);
      const done = await kept;
      onProgress?.(done, total);
    }
  };
  let failure: unknown;
  const workers = Array.from({ length: Math.max(1, concurrency) }, () => worker().catch((error: unknown) => {
    failure ??= error; // the first; those of the others only say that they were stopped
    stop.abort();
  }));
  await Promise.all(workers);
  const stopped = signal?.aborted === true && (failure !== undefined || next < jobs.length);
  if (stopped) fail("ERR_ABORTED", `stopped; ${options.path}.partial keeps what was answered`);
  if (failure !== undefined) throw failure;
}

const seedOf = (job: Job, { seed }: AskOptions): number | undefined =>
  (seed === undefined ? undefined : seed + job.index);

const settingsOf = (job: Job, options: AskOptions): AskedAnswer["settings"] =>
  ({ ...options.client.settings, system: options.system, seed: seedOf(job, options) });

async function ask(job: Job, options: AskOptions, signal: AbortSignal): Promise<AskedAnswer> {
  const { task, client, system, trigger } = options;
  const seed = seedOf(job, options);
  const prompt = teacherPrompt(task, job.question, trigger);
  const messages: ChatMessage[] = [
    ...(system === undefined ? [] : [{ role: "system" as const, content: system }]), { role: "user", content: prompt },
  ];
  const reply = await client.complete(messages, { signal, ...(seed === undefined ? {} : { seed }) });
  return {
    id: job.question.id, task: task.name, sample: job.sample, prompt, question: job.question.question,
    output: reply.text, finish_reason: reply.finish_reason, teacher: reply.model,
    settings: settingsOf(job, options),
  };
}
