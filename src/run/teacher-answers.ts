// Answers of the teacher the options name, to all questions of a split. It does NOT judge them.
import type { TeacherOptions } from "../config/run-options";
import type { Question } from "../data/records";
import type { Task } from "../tasks";
import type { TeacherAnswer } from "../teacher/answers";
import { askedToAnswers, askTeacher } from "../teacher/ask";
import { ChatClient } from "../teacher/openai";
import { proceduralAnswers } from "../teacher/procedural";
import { readAnswers } from "../teacher/sources";
import type { ProgressEvent } from "./events";
import { eventQueue } from "./queue";

export interface TeacherRequest {
  teacher: TeacherOptions;
  task: Task;
  questions: readonly Question[];
  seed: number;
  /** Where a server's answers are kept as they come; an interrupted asking goes on from there. */
  path: string;
  signal?: AbortSignal | undefined;
}

async function* askServer({
  teacher,
  task,
  questions,
  seed,
  path,
  signal,
}: TeacherRequest): AsyncGenerator<ProgressEvent, TeacherAnswer[]> {
  const { base_url, model, api_key_env, temperature, max_tokens, concurrency, per_question } = teacher;
  const api_key = process.env[api_key_env];
  const client = new ChatClient({
    temperature,
    max_tokens,
    ...(base_url === undefined ? {} : { base_url }),
    ...(model === undefined ? {} : { model }),
    ...(api_key === undefined ? {} : { api_key }),
  });
  const asked = yield* eventQueue<ProgressEvent, Awaited<ReturnType<typeof askTeacher>>>((push, stop) =>
    askTeacher({
      task,
      questions,
      client,
      path,
      samples: per_question,
      concurrency,
      seed,
      signal: signal ? AbortSignal.any([signal, stop]) : stop,
      onProgress: (finished, total) =>
        push({ type: "progress", stage: "demos", finished, total, unit: "answers" }),
    }),
  );
  return askedToAnswers(asked);
}

/** @throws ERR_IO, ERR_DATA naming a file; what the server's client throws */
export async function* teacherAnswers(
  request: TeacherRequest,
): AsyncGenerator<ProgressEvent, TeacherAnswer[]> {
  const { teacher, questions, seed } = request;
  switch (teacher.kind) {
    case "procedural":
      return proceduralAnswers(questions, {
        seed,
        error_rate: teacher.error_rate,
        styles: teacher.styles,
        per_question: teacher.per_question,
      });
    case "file":
      return (await Promise.all(teacher.files.map((file) => readAnswers(file, teacher.name)))).flat();
    case "openai":
      return yield* askServer(request);
  }
}
