// Verb: reasoning paths of a model, of a task's questions or of prompts in a file.
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { flagsOf, givenOptions } from "../config/flags";
import { generationRules } from "../config/effects";
import { generationOptions, type GenerationOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { sampleOptions, type SampleOptions } from "../config/run-options";
import { pathIssues } from "../config/run-rules";
import { parsePromptRecord, type PromptRecord } from "../data/prompt-records";
import { JsonlWriter, readJsonl, writeJsonl } from "../data/jsonl";
import type { SampledPath } from "../data/records";
import { fail } from "../errors";
import { makeDirectory } from "../files";
import type { Model } from "../model";
import { plural } from "../report/format";
import { decisiveDecoding, effectiveDecoding } from "../run/effective";
import { asked } from "../run/stages/rows";
import { drawPaths, FLUSH_MS } from "../run/stages/sample";
import { scratchDirectory } from "../run/store";
import { sample } from "../sample/sample";
import type { Asked } from "../refine/sample-paths";
import { renderChat } from "../text/chat-template";
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

const seedField = generationOptions.pick({ seed: true });
const samplingSchema = sampleOptions.extend(seedField.shape);

/** Finished prompts are kept beside the output, so that an interrupted sampling goes on with the others. */
async function samplePaths(
  model: Model,
  questions: readonly Asked[],
  options: SampleOptions & { seed: number },
  flags: Flags,
  context: Context,
  output: string,
): Promise<SampledPath[]> {
  const { n_cot, n_direct, seed, ...decoding } = options;
  const identity = {
    model: await drawnFrom(flags),
    questions,
    template: templateOf(flags),
    options: decisiveDecoding(options),
  };
  return inWork(output, identity, async (work) => {
    sayResumable(context);
    const drawing = drawPaths(
      model,
      {
        stage: "sample",
        questions,
        n_cot,
        n_direct,
        template: templateOf(flags),
        signal: context.signal,
        generation: effectiveDecoding({ ...decoding, seed }),
      },
      work,
    );
    let next = await drawing.next();
    for (; !next.done; next = await drawing.next()) showStage(next.value, context);
    await writeJsonl(output, next.value);
    await rm(work, { recursive: true, force: true });
    return next.value;
  });
}

/** All completions of one prompt, in the order of their numbers: a line of the file of unfinished work. */
interface Completed {
  place: number;
  records: { sample: number; [field: string]: unknown }[];
}

/** Completions by prompt; those of an interrupted attempt are found in `work`, and only the others are drawn. */
async function drawPrompts(
  model: Model,
  prompts: readonly PromptRecord[],
  options: Partial<GenerationOptions> & Pick<GenerationOptions, "num_samples">,
  context: Context,
  work: string,
): Promise<Completed[]> {
  const partial = join(scratchDirectory(work), "completions.partial.jsonl");
  await makeDirectory(scratchDirectory(work));
  const writer = await JsonlWriter.open(partial); // cuts a half-written last line off
  const finished = new Map<number, Completed>();
  const begun = new Map<number, Completed>();
  let flushed = Date.now();
  try {
    for await (const { value } of readJsonl(partial)) finished.set((value as Completed).place, value as Completed);
    const texts = prompts.map(({ prompt }) =>
      typeof prompt === "string" ? prompt : renderChat(model.tokenizer, prompt, { addGenerationPrompt: true }),
    );
    const open = texts.map((prompt, key) => ({ prompt, key })).filter(({ key }) => !finished.has(key));
    const before = finished.size * options.num_samples;
    for await (const event of sample(model, open, options, { signal: context.signal })) {
      if (event.type === "progress") {
        const all = { finished: before + event.finished, total: before + event.total };
        showStage({ type: "progress", stage: "sample", unit: "samples", ...all }, context);
        if (Date.now() - flushed > FLUSH_MS) {
          await writer.flush();
          flushed = Date.now();
        }
        continue;
      }
      const place = open[event.prompt]!.key;
      const { text: completion, sample: number, finish_reason, logps } = event;
      const logp = logps.reduce((sum, one) => sum + one, 0);
      const one = begun.get(place) ?? { place, records: [] };
      begun.set(place, one);
      one.records.push({ ...prompts[place]!.record, sample: number, completion, finish_reason, logp });
      if (one.records.length < options.num_samples) continue;
      one.records.sort((a, b) => a.sample - b.sample);
      finished.set(place, one);
      await writer.write(one);
    }
  } finally {
    await writer.close();
  }
  return [...finished.values()].sort((a, b) => a.place - b.place);
}

async function fromPrompts(flags: Flags, context: Context, output: string): Promise<number> {
  if (flags["task"] !== undefined)
    fail("ERR_CONFIG", "--task and --prompts exclude each other", { option: "prompts" });
  if (flags["n-cot"] !== undefined) {
    fail("ERR_CONFIG", "--n-cot has no effect with --prompts, which are used as they are; give --n-direct", {
      option: "n-cot",
    });
  }
  const idle = Object.keys({ ...QUESTION_FLAGS, ...TEMPLATE_FLAG }).find((name) => flags[name] !== undefined);
  if (idle !== undefined) {
    fail("ERR_CONFIG", `--${idle} has no effect with --prompts, which are used as they are; leave it out`, {
      option: idle,
    });
  }
  const { n_direct: num_samples = 1, ...given } = givenOptions(samplingSchema, flags);
  const options = parseOptions(
    generationOptions,
    { temperature: 0.8, ...given, num_samples },
    "sample",
    generationRules,
  );
  const path = String(flags["prompts"]);
  const prompts = (await readNamed(path, parsePromptRecord)).map(({ record }) => record);
  const identity = {
    model: await drawnFrom(flags),
    prompts: prompts.map(({ record }) => record),
    options: decisiveDecoding(options),
  };
  const model = await openModel(flags, context);
  try {
    return await inWork(output, identity, async (work) => {
      sayResumable(context);
      const decoding = { ...effectiveDecoding(options), num_samples: options.num_samples };
      const rows = (await drawPrompts(model, prompts, decoding, context, work)).flatMap(({ records }) => records);
      await writeJsonl(output, rows);
      await rm(work, { recursive: true, force: true });
      return rows.length;
    });
  } finally {
    model.dispose();
  }
}

async function fromTask(flags: Flags, context: Context, output: string): Promise<number> {
  const rules = generationRules.filter(({ option }) => option !== "num_samples");
  const options = parseOptions(
    samplingSchema,
    givenOptions(samplingSchema, flags),
    "sample",
    rules as never,
  );
  const issue = pathIssues(options)[0];
  if (issue) fail("ERR_CONFIG", issue.text);
  const { task, questions } = await openQuestions(flags, "train");
  const model = await openModel(flags, context);
  try {
    const paths = await samplePaths(model, asked(task, questions), options, flags, context, output);
    return paths.length;
  } finally {
    model.dispose();
  }
}

export const sampleVerb: Verb = {
  name: "sample",
  summary: "draw reasoning paths of a task's questions, or completions of prompts",
  flags: {
    ...MODEL_FLAGS,
    prompts: textFlag("records {prompt}, text or messages, used as they are; in place of --task"),
    output: textFlag("file of completions, JSON Lines", "Files:", { demandOption: true }),
    ...OVERWRITE_FLAG,
    ...QUESTION_FLAGS,
    ...TEMPLATE_FLAG,
    ...flagsOf(samplingSchema, "Sampling:"),
  },
  examples: [
    [
      "sample --model tuned --task wordproblems --n-cot 8 --output paths.jsonl",
      "reasoning paths, for `pairs`",
    ],
    [
      "sample --model tuned --prompts prompts.jsonl --temperature 0 --output out.jsonl",
      "greedy completions of prompts",
    ],
  ],
  run: async (flags, context) => {
    const output = await freeOutput(resolve(required(flags, "output", "a file")), flags["overwrite"]);
    const samples = await (flags["prompts"] === undefined ? fromTask : fromPrompts)(flags, context, output);
    context.terminal.finish();
    context.emit({ type: "finished", output, samples });
    context.print(`${output}: ${plural(samples, "sample")}`);
  },
};
