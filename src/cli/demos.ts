// Verb: a teacher's demonstrations as a file.
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { flagsOf, givenOptions } from "../config/flags";
import { type EffectRule, parseOptions } from "../config/parse";
import { generationOptions } from "../config/options";
import { teacherOptions } from "../config/run-options";
import { teacherRules } from "../config/teacher-rules";
import { writeJsonl } from "../data/jsonl";
import { makeDirectory } from "../files";
import { takeLock } from "../lock";
import { percent, plural } from "../report/format";
import { demonstrate } from "../teacher/demonstrations";
import { teacherAnswers } from "../run/teacher-answers";
import {
  freeOutput,
  openQuestions,
  OVERWRITE_FLAG,
  QUESTION_FLAGS,
  required,
  sayResumable,
  textFlag,
} from "./common";
import { showStage } from "./train-files";
import type { Verb } from "./verb";

const schema = teacherOptions.extend(generationOptions.pick({ seed: true }).shape);

const rules = [
  ...(teacherRules as readonly EffectRule<z.infer<typeof schema>>[]),
  {
    option: "seed" as const,
    hasEffect: ({ kind }: z.infer<typeof schema>) => kind !== "file",
    because: "unless `kind` is procedural or openai",
  },
];

/** One process at a time asks for an output: two would append to the same file of answers. */
async function locked<T>(output: string, use: () => Promise<T>): Promise<T> {
  await makeDirectory(dirname(output));
  const unlock = await takeLock(`${output}.lock`, `writing ${output}`);
  try {
    return await use();
  } finally {
    await unlock();
  }
}

export const demosVerb: Verb = {
  name: "demos",
  summary: "collect, judge and filter a teacher's demonstrations",
  flags: {
    output: textFlag("file of demonstrations, JSON Lines", "Files:", { demandOption: true }),
    ...OVERWRITE_FLAG,
    ...QUESTION_FLAGS,
    ...flagsOf(schema, "Teacher:"),
  },
  examples: [
    [
      "demos --task wordproblems --error-rate 0.2 --filter correct --output demos.jsonl",
      "the built-in teacher",
    ],
    [
      "demos --task svamp --data DIR --kind file --files DIR/train.json.gz --output demos.jsonl",
      "answers from a file",
    ],
    [
      "demos --task gsm8k --data DIR --kind openai --model NAME --base-url URL --output demos.jsonl",
      "ask a server",
    ],
  ],
  run: async (flags, context) => {
    const output = await freeOutput(resolve(required(flags, "output", "a file")), flags["overwrite"]);
    const { seed, ...teacher } = parseOptions(schema, givenOptions(schema, flags), "teacher", rules);
    const { task, questions } = await openQuestions(flags, "train");
    const report = await locked(output, async () => {
      if (teacher.kind === "openai") sayResumable(context);
      const asking = teacherAnswers({
        teacher: { ...teacher, files: teacher.files.map((file) => resolve(file)) },
        task,
        questions,
        seed,
        path: `${output}.answers.jsonl`,
        signal: context.signal,
      });
      let next = await asking.next();
      for (; !next.done; next = await asking.next()) showStage(next.value, context);
      const { demonstrations, report } = demonstrate(task, questions, next.value, {
        filter: teacher.filter,
        ...(teacher.max_per_question > 0 ? { max_per_question: teacher.max_per_question } : {}),
      });
      await writeJsonl(output, demonstrations);
      return report;
    });
    context.terminal.finish();
    context.emit({ type: "finished", output, ...report });
    const { total } = report;
    context.print(
      `${output}: ${plural(total.kept, "demonstration")} of ${report.covered} of ${plural(report.questions, "question")}; ` +
        `${total.correct} of ${plural(total.with_gold, "answer")} right (${percent(total.with_gold ? total.correct / total.with_gold : null)})`,
    );
  },
};
