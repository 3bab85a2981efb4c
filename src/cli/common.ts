// Flags and files that several verbs share: the model, the questions, the output. It does NOT know any one
// verb.
import { readdir, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Options } from "yargs";
import { modelRules } from "../config/effects";
import { flagName, type FlagOf, flagsOf, givenOptions } from "../config/flags";
import { modelOptions, type ModelOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { type TaskSource, TOKENIZER_HELP, wordproblemOptions } from "../config/run-options";
import type { Split } from "../data/records";
import { fail } from "../errors";
import { recoverSwap } from "../files";
import { deviceReason, Model, resolveDevice, untrained, type LoadOptions } from "../model";
import { modelKey } from "../run/model-ref";
import { pathKey } from "../run/store";
import type { EvaluationSet } from "../run/questions";
import { loadSet } from "../run/questions";
import { getTask, isProcedural } from "../tasks";
import { TEMPLATE_NAMES, type TemplateName } from "../text/templates";
import { loadTokenizer } from "../text/convert";
import type { Context } from "./context";
import { LORA_FLAGS, loraOf } from "./lora-flags";
import type { Flags } from "./verb";

const FILES = "Files:";
const QUESTIONS = "Questions:";

/** A flag that takes one number. */
export const numberFlag = (describe: string, group: string, more: Options = {}): Options =>
  ({ ...textFlag(describe, group, more), type: "number" });

/** A flag that takes one text. */
export function textFlag(describe: string, group = FILES, more: Options = {}): Options {
  return { type: "string", requiresArg: true, group, describe, ...more };
}

export const BASE_MODEL_FLAG: Readonly<Record<string, Options>> = {
  "base-model": textFlag("for an adapter: its base model, where that is not where the adapter says"),
};

export const baseModelOf = (flags: Flags): { base_model?: string } =>
  flags["base-model"] === undefined ? {} : { base_model: String(flags["base-model"]) };

/** What stands for the bytes of the model that the flags name, for the identity of unfinished work. */
export const modelKeyOf = (flags: Flags): Promise<string> =>
  modelKey(required(flags, "model", "a model's directory"), baseModelOf(flags).base_model);

/** All of the model's flags that decide what is drawn from it: threads do not. For the identity of unfinished work. */
export async function drawnFrom(flags: Flags): Promise<unknown> {
  const { device, dtype } = parseOptions(modelOptions, givenOptions(modelOptions, flags), "model", modelRules);
  const { tokenizer } = flags;
  return {
    model: await modelKeyOf(flags),
    tokenizer: tokenizer === undefined ? null : await pathKey(String(tokenizer)),
    device: resolveDevice(device),
    dtype,
  };
}

const modelFiles: Readonly<Record<string, Options>> = {
  model: textFlag("Hugging Face directory, PEFT adapter, or a llama2.c .bin file", FILES, { demandOption: true }),
  ...BASE_MODEL_FLAG,
  tokenizer: textFlag(TOKENIZER_HELP),
};

/** Of a model that is drawn from; one that is trained has TRAINED_MODEL_FLAGS. */
export const MODEL_FLAGS: Readonly<Record<string, Options>> = {
  ...modelFiles,
  ...flagsOf(modelOptions.omit({ optim_states: true }), "Model:"),
};

export const TRAINED_MODEL_FLAGS: Readonly<Record<string, Options>> = {
  ...modelFiles,
  ...flagsOf(modelOptions, "Model:"),
  ...LORA_FLAGS,
};

const PREFIX = "wordproblems-";
const wordproblemFlag: FlagOf = (option) => PREFIX + flagName(option);

export const QUESTION_FLAGS: Readonly<Record<string, Options>> = {
  task: textFlag("name of the task (see `selfrefine inspect tasks`)", QUESTIONS),
  data: textFlag("the benchmark's folder; procedural tasks have none", QUESTIONS),
  split: textFlag("which split", QUESTIONS, { choices: ["train", "validation", "test", "all"] }),
  limit: numberFlag("the first so many questions; 0 = all", QUESTIONS, { defaultDescription: "0" }),
  ...flagsOf(wordproblemOptions, "Word problems:", wordproblemFlag),
};

export const TEMPLATE_FLAG: Readonly<Record<string, Options>> = {
  template: textFlag("how a question is put to the student", "Prompts:", {
    choices: [...TEMPLATE_NAMES],
    defaultDescription: "alpaca",
  }),
};

export const templateOf = (flags: Flags): TemplateName => (flags["template"] ?? "alpaca") as TemplateName;

export function required(flags: Flags, name: string, what: string): string {
  const value = flags[name];
  return typeof value === "string" && value !== ""
    ? value
    : fail("ERR_CONFIG", `--${name} is missing: ${what}`, { option: name });
}

/** Says what auto took and why; a device that the user chose needs no words, nor does a program that reads. */
export function sayDevice(device: ModelOptions["device"], context: Context): void {
  if (context.json) return;
  const reason = deviceReason(device);
  if (reason !== undefined) context.terminal.note(reason);
}

/** Opens the model the flags name, to draw from it. The caller disposes of it. */
export function openModel(flags: Flags, context: Context): Promise<Model> {
  return openWith(flags, context, untrained);
}

/** The same, to train it as `work` says; where there is no room for that, the weights are not read. */
export function openTrainedModel(flags: Flags, context: Context, work: LoadOptions["work"]): Promise<Model> {
  return openWith(flags, context, (options) => options, work);
}

async function openWith(
  flags: Flags,
  context: Context,
  adapt: (options: ModelOptions) => ModelOptions,
  work?: LoadOptions["work"],
): Promise<Model> {
  const given = givenOptions(modelOptions, flags);
  const options = adapt(parseOptions(modelOptions, given, "model", modelRules));
  const tokenizer =
    flags["tokenizer"] === undefined ? {} : { tokenizer: await loadTokenizer(String(flags["tokenizer"])) };
  const lora = loraOf(flags);
  sayDevice(options.device, context);
  return Model.load(required(flags, "model", "a Hugging Face directory"), {
    ...options,
    ...tokenizer,
    ...baseModelOf(flags),
    ...(lora ? { lora: { ...lora, seed: Number(flags["seed"] ?? 0) } } : {}),
    ...(work ? { work } : {}),
  });
}

function positiveOrZero(flags: Flags, name: string): number {
  const value = Number(flags[name] ?? 0);
  return Number.isInteger(value) && value >= 0
    ? value
    : fail("ERR_CONFIG", `--${name} is ${JSON.stringify(flags[name])}, wanted an integer from 0`, {
        option: name,
      });
}

/** The questions the flags name. @throws ERR_CONFIG on a missing or idle flag */
export async function openQuestions(flags: Flags, fallback?: Split): Promise<EvaluationSet> {
  const task = required(flags, "task", "which task the questions are of");
  getTask(task); // a mistyped name is told before what it would need
  const data = flags["data"] as string | undefined;
  if (isProcedural(task) && data !== undefined) {
    fail("ERR_CONFIG", `--data has no effect: ${task} makes its own questions; leave it out`, {
      option: "data",
    });
  }
  const stranger = Object.keys(flags).find((name) => name.startsWith(PREFIX) && flags[name] !== undefined);
  if (!isProcedural(task) && stranger !== undefined) {
    fail("ERR_CONFIG", `--${stranger} has no effect with task ${task}; leave it out`, { option: stranger });
  }
  if (!isProcedural(task) && data === undefined)
    required(flags, "data", `${task} reads its questions from a folder`);
  const split = (flags["split"] ?? fallback) as Split | undefined;
  const source: TaskSource = {
    task,
    limit: positiveOrZero(flags, "limit"),
    ...(data === undefined ? {} : { data: resolve(data) }),
    ...(split === undefined ? {} : { split }),
  };
  const knobs = givenOptions(wordproblemOptions, flags, wordproblemFlag);
  const wordproblems = parseOptions(wordproblemOptions, knobs, "wordproblems");
  return loadSet(source, "in", { seed: 0, wordproblems });
}

/** Stops before hours of work would end in a name that is taken. @throws ERR_IO */
export async function freeOutput(path: string, overwrite: unknown): Promise<string> {
  await recoverSwap(path);
  const taken = await stat(path).catch(() => undefined);
  if (taken && overwrite !== true) {
    fail("ERR_IO", `${path} exists already; choose another --output, or give --overwrite`, { path });
  }
  if (taken?.isDirectory()) await expectModelDirectory(path);
  return path;
}

/** What --overwrite may replace whole: an empty directory or a model, never a folder of other things. */
async function expectModelDirectory(path: string): Promise<void> {
  const names = await readdir(path);
  const isModel = names.includes("config.json") || names.includes("adapter_config.json");
  if (names.length > 0 && !(isModel && names.some((name) => name.endsWith(".safetensors")))) {
    fail("ERR_IO", `${path} is not a model directory, so --overwrite does not replace it; choose another --output`, {
      path,
    });
  }
}

export const OVERWRITE_FLAG: Readonly<Record<string, Options>> = {
  overwrite: { type: "boolean", group: FILES, describe: "replace the output if it exists" },
};

/** The command line as it would be typed again. */
export function commandLine(without: readonly string[] = []): string {
  const args = process.argv.slice(2).filter((arg) => !without.includes(arg));
  const quoted = args.map((arg) =>
    /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`,
  );
  return `selfrefine ${quoted.join(" ")}`;
}

/** Says, should the work be interrupted, how to go on; --fresh would throw away what is kept. */
export function sayResumable(context: Context): void {
  context.resumeHint = `what was finished is kept; go on with: ${commandLine(["--fresh"])}`;
}
