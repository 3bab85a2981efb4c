// Stage: the teacher's demonstrations of the train questions, judged, filtered and counted.
// It does NOT render prompts or train.
import { join } from "node:path";
import type { TeacherOptions } from "../../config/run-options";
import { writeJsonl } from "../../data/jsonl";
import { stableJson, writeFileAtomic } from "../../files";
import { demonstrate, type DemonstrationReport } from "../../teacher/demonstrations";
import { namedTeacher } from "../../teacher/openai";
import type { RunContext } from "../context";
import type { RunEvent } from "../events";
import type { RunQuestions } from "../questions";
import { pathKey, type StageResult } from "../store";
import { teacherAnswers } from "../teacher-answers";

export const DEMONSTRATIONS_FILE = "demonstrations.jsonl";
export const DEMONSTRATIONS_REPORT = "summary.json";

export interface DemonstrationSummary extends DemonstrationReport {
  /** Kept by the filter, left out for their question recurs in an evaluation set. */
  leaked: number;
}

/**
 * Options that decide the answers of this kind of teacher; the others are idle and must not change the key.
 */
function decisive(teacher: TeacherOptions): unknown {
  const { kind, filter, max_per_question, name, error_rate, styles, per_question, base_url, model, ...rest } =
    teacher;
  const common = { kind, filter, max_per_question };
  switch (kind) {
    case "file":
      return { ...common, name: name ?? null };
    case "procedural":
      return { ...common, error_rate, styles, per_question };
    case "openai":
      return {
        ...common,
        per_question,
        ...namedTeacher({ ...(base_url === undefined ? {} : { base_url }), ...(model === undefined ? {} : { model }) }),
        temperature: rest.temperature,
        max_tokens: rest.max_tokens,
      };
  }
}

export async function* demosStage(
  context: RunContext,
  { task, asked, train, keys }: Pick<RunQuestions, "task" | "asked" | "train" | "keys">,
): AsyncGenerator<RunEvent, StageResult> {
  const { teacher } = context.config;
  const seed = teacher.kind === "file" ? 0 : context.seed("teacher");
  const files = await Promise.all(
    teacher.files.map(async (file, index) => [`file ${index}`, await pathKey(file)]),
  );
  const spec = {
    name: "demos",
    options: { teacher: decisive(teacher), seed },
    inputs: {
      asked: keys.asked,
      train: keys.train,
      ...(Object.fromEntries(files) as Record<string, string>),
    },
  };
  return yield* context.stage(spec, async function* (work) {
    const given = yield* teacherAnswers({
      teacher,
      task,
      questions: asked,
      seed,
      path: join(work, "answers.jsonl"),
      signal: context.control.signal,
    });
    const { demonstrations, report } = demonstrate(task, asked, given, {
      filter: teacher.filter,
      ...(teacher.max_per_question > 0 ? { max_per_question: teacher.max_per_question } : {}),
    });
    const usable = new Set(train.map(({ id }) => id));
    const kept = demonstrations.filter(({ id }) => usable.has(id));
    const summary: DemonstrationSummary = { ...report, leaked: demonstrations.length - kept.length };
    await writeJsonl(join(work, DEMONSTRATIONS_FILE), kept);
    await writeFileAtomic(join(work, DEMONSTRATIONS_REPORT), `${stableJson(summary, 2)}\n`);
  });
}
