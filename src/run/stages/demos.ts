// Stage: the teacher's demonstrations of the train questions, judged, filtered and counted.
// It does NOT render prompts or train.
import { join } from "node:path";
import type { TeacherOptions } from "../../config/run-options";
import { writeJsonl } from "../../data/jsonl";
import type { Question } from "../../data/records";
import { stableJson, writeFileAtomic } from "../../files";
import type { Task } from "../../tasks";
import type { TeacherAnswer } from "../../teacher/answers";
import { askedToAnswers, askTeacher } from "../../teacher/ask";
import { demonstrate } from "../../teacher/demonstrations";
import { ChatClient } from "../../teacher/openai";
import { proceduralAnswers } from "../../teacher/procedural";
import { readAnswers } from "../../teacher/sources";
import type { RunContext } from "../context";
import type { RunEvent, StageEvent } from "../events";
import { eventQueue } from "../queue";
import { pathKey, type StageResult } from "../store";

export const DEMONSTRATIONS_FILE = "demonstrations.jsonl";
export const DEMONSTRATIONS_REPORT = "summary.json";

/** Options that decide the answers of this kind of teacher; the others are idle and must not change the key. */
function decisive(teacher: TeacherOptions): unknown {
  const { kind, filter, max_per_question, name, error_rate, styles, per_question, base_url, model, ...rest } = teacher;
  const common = { kind, filter, max_per_question };
  switch (kind) {
    case "file": return { ...common, name: name ?? null };
    case "procedural": return { ...common, error_rate, styles, per_question };
    case "openai": return { ...common, per_question, base_url: base_url ?? null, model: model ?? null,
      temperature: rest.temperature, max_tokens: rest.max_tokens };
  }
}

async function* askServer(
  context: RunContext, task: Task, questions: readonly Question[], work: string, seed: number,
): AsyncGenerator<StageEvent, TeacherAnswer[]> {
  const { base_url, model, api_key_env, temperature, max_tokens, concurrency, per_question } = context.config.teacher;
  const api_key = process.env[api_key_env];
  const client = new ChatClient({
    temperature, max_tokens,
    ...(base_url === undefined ? {} : { base_url }), ...(model === undefined ? {} : { model }),
    ...(api_key === undefined ? {} : { api_key }),
  });
  const { signal } = context.control;
  const asked = yield* eventQueue<StageEvent, Awaited<ReturnType<typeof askTeacher>>>((push) => askTeacher({
    task, questions, client, path: join(work, "answers.jsonl"), samples: per_question, concurrency, seed,
    ...(signal ? { signal } : {}),
    onProgress: (finished, total) => push({ type: "progress", stage: "demos", finished, total, unit: "answers" }),
  }));
  return askedToAnswers(asked);
}

async function* answers(
  context: RunContext, task: Task, questions: readonly Question[], work: string, seed: number,
): AsyncGenerator<StageEvent, TeacherAnswer[]> {
  const { teacher } = context.config;
  switch (teacher.kind) {
    case "procedural": return proceduralAnswers(questions,
      { seed, error_rate: teacher.error_rate, styles: teacher.styles, per_question: teacher.per_question });
    case "file": return (await Promise.all(teacher.files.map((file) => readAnswers(file, teacher.name)))).flat();
    case "openai": return yield* askServer(context, task, questions, work, seed);
  }
}

export async function* demosStage(
  context: RunContext, task: Task, questions: readonly Question[], questionsKey: string,
): AsyncGenerator<RunEvent, StageResult> {
  const { teacher } = context.config;
  const seed = teacher.kind === "file" ? 0 : context.seed("teacher");
  const files = await Promise.all(teacher.files.map(async (file, index) => [`file ${index}`, await pathKey(file)]));
  const spec = {
    name: "demos", options: { teacher: decisive(teacher), seed },
    inputs: { questions: questionsKey, ...(Object.fromEntries(files) as Record<string, string>) },
  };
  return yield* context.stage(spec, async function* (work) {
    const given = yield* answers(context, task, questions, work, seed);
    const { demonstrations, report } = demonstrate(task, questions, given, {
      filter: teacher.filter,
      ...(teacher.max_per_question > 0 ? { max_per_question: teacher.max_per_question } : {}),
    });
    await writeJsonl(join(work, DEMONSTRATIONS_FILE), demonstrations);
    await writeFileAtomic(join(work, DEMONSTRATIONS_REPORT), `${stableJson(report, 2)}\n`);
  });
}
