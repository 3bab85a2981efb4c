// Verb: accuracy of a model on a task, and the paired test against another model's predictions.
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { generationRules } from "../config/effects";
import { flagsOf, givenOptions } from "../config/flags";
import { generationOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { evaluationOptions } from "../config/run-options";
import { writeJsonl } from "../data/jsonl";
import type { Prediction } from "../data/records";
import { accuracyOf } from "../evaluate/accuracy";
import { compare } from "../evaluate/compare";
import { fail } from "../errors";
import { percent } from "../report/format";
import { effectText } from "../report/results";
import { decisiveDecoding, effectiveDecoding } from "../run/effective";
import type { EvaluationSet } from "../run/questions";
import { predictions } from "../run/stages/evaluate";
import { asked } from "../run/stages/rows";
import { drawPaths } from "../run/stages/sample";
import {
  drawnFrom,
  freeOutput,
  MODEL_FLAGS,
  openModel,
  openQuestions,
  OVERWRITE_FLAG,
  QUESTION_FLAGS,
  required,
  sayResumable,
  TEMPLATE_FLAG,
  templateOf,
  textFlag,
} from "./common";
import type { Context } from "./context";
import { readNamed, showStage } from "./train-files";
import type { Flags, Verb } from "./verb";
import { inWork } from "./work-directory";

const schema = evaluationOptions.extend(generationOptions.pick({ seed: true }).shape);

function parsePrediction(value: unknown, place: string): Prediction {
  const { id, task, correct } = (value ?? {}) as Partial<Prediction>;
  if (typeof id === "string" && typeof task === "string" && typeof correct === "boolean") return value as Prediction;
  return fail("ERR_DATA", `${place}: no prediction as \`eval\` writes it: id, task and correct are wanted`, { place });
}

/** What to compare with, held to the questions before they are answered. @throws ERR_DATA */
async function readEarlier(path: string, set: EvaluationSet): Promise<Prediction[]> {
  const named = await readNamed(path, parsePrediction);
  const asked = new Set(set.questions.map(({ id }) => id));
  const other = named.find(({ record: { id, task } }) => task !== set.task.name || !asked.has(id));
  if (other !== undefined || named.length !== asked.size) {
    fail(
      "ERR_DATA",
      `${other?.name ?? path}: the paired test wants predictions on the same ${asked.size} questions of ` +
        `${set.task.name}, each once; these are ${named.length}` +
        (other === undefined ? "" : `, and "${other.record.id}" of ${other.record.task} is none of them`),
      { path },
    );
  }
  return named.map(({ record }) => record);
}

async function examine(
  flags: Flags,
  context: Context,
  output: string,
): Promise<{ judged: Prediction[]; earlier?: Prediction[] }> {
  const rules = generationRules.filter(({ option }) => option !== "num_samples");
  const options = parseOptions(schema, givenOptions(schema, flags), "evaluation", rules as never);
  const { trigger, votes, seed, ...decoding } = options;
  if (votes > 1 && options.temperature === 0) {
    fail("ERR_CONFIG", "--votes has no effect with --temperature 0: greedy samples are all the same", {
      option: "votes",
    });
  }
  const set = await openQuestions(flags);
  const against = flags["compare"];
  const earlier = against === undefined ? {} : { earlier: await readEarlier(String(against), set) };
  const identity = {
    model: await drawnFrom(flags),
    questions: set.key,
    template: templateOf(flags),
    options: decisiveDecoding(options),
  };
  return inWork(output, identity, async (work) => {
    sayResumable(context);
    const model = await openModel(flags, context);
    try {
      const drawing = drawPaths(
        model,
        {
          stage: "eval",
          questions: asked(set.task, set.questions),
          template: templateOf(flags),
          signal: context.signal,
          n_cot: trigger ? votes : 0,
          n_direct: trigger ? 0 : votes,
          generation: effectiveDecoding({ ...decoding, seed }),
        },
        work,
      );
      let next = await drawing.next();
      for (; !next.done; next = await drawing.next()) showStage(next.value, context);
      const judged = predictions(set, next.value);
      await writeJsonl(output, judged);
      await rm(work, { recursive: true, force: true });
      return { judged, ...earlier };
    } finally {
      model.dispose();
    }
  });
}

export const evalVerb: Verb = {
  name: "eval",
  summary: "examine a model on a task",
  flags: {
    ...MODEL_FLAGS,
    output: textFlag("file of predictions, JSON Lines", "Files:", { demandOption: true }),
    compare: textFlag("predictions of another model on the same questions, for the paired test"),
    ...OVERWRITE_FLAG,
    ...QUESTION_FLAGS,
    ...TEMPLATE_FLAG,
    ...flagsOf(schema, "Evaluation:"),
  },
  examples: [
    ["eval --model refined --task wordproblems --output refined.jsonl", "greedy, with the trigger"],
    [
      "eval --model refined --task gsm8k --data DIR --output b.jsonl --compare a.jsonl",
      "and against an earlier model",
    ],
    [
      "eval --model refined --task svamp --data DIR --votes 8 --temperature 0.7 --output v.jsonl",
      "majority of 8 samples",
    ],
  ],
  run: async (flags, context) => {
    const output = await freeOutput(resolve(required(flags, "output", "a file")), flags["overwrite"]);
    const { judged, earlier } = await examine(flags, context, output);
    const accuracy = accuracyOf(judged);
    const comparison = earlier && compare(earlier, judged);
    context.terminal.finish();
    context.emit({ type: "finished", output, ...accuracy, ...(comparison ? { comparison } : {}) });
    context.print(
      `accuracy ${percent(accuracy.accuracy)} (${accuracy.correct} of ${accuracy.n}), 95 % ` +
        `[${percent(accuracy.low)}, ${percent(accuracy.high)}]; no readable answer in ${percent(accuracy.extraction_failure_rate)}`,
    );
    if (comparison) context.print(`against ${String(flags["compare"])}: ${effectText(comparison)}`);
    context.print(`predictions: ${output}`);
  },
};
