// Which options of a teacher matter for which kind of it. It does NOT check types: the schema does.
import type { EffectRule } from "./parse";
import type { TeacherOptions } from "./run-options";

const KINDS: Readonly<Partial<Record<keyof TeacherOptions, readonly TeacherOptions["kind"][]>>> = {
  files: ["file"],
  name: ["file"],
  error_rate: ["procedural"],
  styles: ["procedural"],
  per_question: ["procedural", "openai"],
  base_url: ["openai"],
  model: ["openai"],
  api_key_env: ["openai"],
  temperature: ["openai"],
  max_tokens: ["openai"],
  concurrency: ["openai"],
};

export const teacherRules: readonly EffectRule<TeacherOptions>[] = Object.entries(KINDS).map(
  ([option, kinds]) => ({
    option: option as keyof TeacherOptions,
    hasEffect: ({ kind }) => kinds.includes(kind),
    because: `unless \`kind\` is ${kinds.join(" or ")}`,
  }),
);
