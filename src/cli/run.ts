// Verb: a whole run from a run file, for one seed or several.
import type { Options } from "yargs";
import { resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { flagsOf } from "../config/flags";
import { modelOptions } from "../config/options";
import { type OverrideName, type Overrides, readRunFile } from "../config/run-file";
import type { RunConfig } from "../config/run-options";
import { fail } from "../errors";
import { stableJson, writeFileAtomic } from "../files";
import { resultText } from "../report/results";
import { seedsText } from "../report/seeds";
import { runPipeline } from "../run/pipeline";
import { runSeeds } from "../run/seeds";
import type { RunSummary } from "../run/summary";
import { commandLine, sayDevice, sayResumable } from "./common";
import type { Context } from "./context";
import { followRun } from "./follow-run";
import type { Flags, Verb } from "./verb";

const GROUP = "Run:";

export const RUN_FLAGS: Readonly<Record<string, Options>> = {
  output: {
    type: "string",
    requiresArg: true,
    group: GROUP,
    describe: "directory of the run; default: runs/<name>",
  },
  seed: {
    type: "number",
    requiresArg: true,
    group: GROUP,
    describe: "seed of the run, in place of the file's",
  },
  seeds: {
    type: "string",
    requiresArg: true,
    group: GROUP,
    describe: "several seeds, e.g. 0,1,2,3,4: the run for each, and mean, interval and paired test over them",
  },
  result: {
    type: "string",
    requiresArg: true,
    group: GROUP,
    describe: "also write the numbers and the command to this JSON file",
  },
  "data-dir": {
    type: "string",
    requiresArg: true,
    group: GROUP,
    describe: "where relative data paths start",
  },
  set: {
    type: "string",
    array: true,
    requiresArg: true,
    group: GROUP,
    describe: "an option in place of the file's: --set sft.learning_rate=1e-3",
  },
  device: {
    ...flagsOf(modelOptions.pick({ device: true }), GROUP)["device"],
    describe: "where to compute; given, it wins over the file's model.device (and --set model.device is refused "
      + "beside it); auto takes an NVIDIA GPU where one can be used, else the cpu",
    defaultDescription: "model.device",
  },
  threads: {
    type: "number",
    requiresArg: true,
    group: GROUP,
    describe: "threads of the cpu device; 0 = all processors",
  },
  "checkpoint-seconds": {
    type: "number",
    requiresArg: true,
    group: GROUP,
    describe: "seconds of training between two checkpoints",
    defaultDescription: "60",
  },
  fresh: { type: "boolean", group: GROUP, describe: "compute every stage anew" },
};

function integer(flags: Flags, name: string): number | undefined {
  const given = flags[name];
  if (given === undefined) return undefined;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 0 || String(given).trim() === "") {
    fail("ERR_CONFIG", `--${name} is ${JSON.stringify(given)}, wanted an integer from 0`, { option: name });
  }
  return value;
}

function assignment(text: string): [string, unknown] {
  const at = text.indexOf("=");
  if (at < 1)
    fail("ERR_CONFIG", `--set ${JSON.stringify(text)}: wanted key=value, e.g. --set dpo.beta=0.3`, {
      option: "set",
    });
  return [text.slice(0, at).trim(), parseYaml(text.slice(at + 1)) as unknown];
}

/** Flags that stand for a key of the run file. */
const KEY_OF_FLAG: Readonly<Record<string, string>> = {
  seed: "seed", device: "model.device", threads: "model.threads", "data-dir": "data_dir",
};

function valueOf(flags: Flags, flag: string): unknown {
  if (flag === "device") return flags[flag];
  return flag === "data-dir" ? resolve(String(flags[flag])) : integer(flags, flag);
}

/** Options of the run that were given as flags, and which flag each came by. */
export function overridesOf(flags: Flags): { overrides: Overrides; flagOf: OverrideName } {
  const set = Object.fromEntries(((flags["set"] ?? []) as string[]).map(assignment));
  const given = Object.entries(KEY_OF_FLAG).filter(([flag]) => flags[flag] !== undefined);
  const twice = given.find(([, key]) => key in set);
  if (twice) fail("ERR_CONFIG", `--${twice[0]} and --set ${twice[1]} exclude each other`, { option: twice[0] });
  return {
    overrides: { ...set, ...Object.fromEntries(given.map(([flag, key]) => [key, valueOf(flags, flag)])) },
    flagOf: (key) => `--${given.find(([, one]) => one === key)?.[0] ?? "set"}`,
  };
}

function seedsOf(flags: Flags): number[] | undefined {
  if (flags["seeds"] === undefined) return undefined;
  if (flags["seed"] !== undefined)
    fail("ERR_CONFIG", "--seed and --seeds exclude each other", { option: "seeds" });
  const seeds = String(flags["seeds"])
    .split(",")
    .map((text) => (text.trim() === "" ? NaN : Number(text)));
  if (seeds.some((seed) => !Number.isSafeInteger(seed) || seed < 0) || new Set(seeds).size < seeds.length) {
    fail("ERR_CONFIG", `--seeds is "${String(flags["seeds"])}", wanted different integers, e.g. 0,1,2,3,4`, {
      option: "seeds",
    });
  }
  return seeds;
}

/**
 * What a result file holds of a run: all numbers but the logs of single steps, and no text of the data, whose licence
 * may not let a result be passed on.
 */
function numbersOf({ trainings, examples: _examples, data, ...summary }: RunSummary): unknown {
  const shortened = trainings.map(({ steps, ...training }) => ({
    ...training,
    last_step: steps.at(-1) ?? null,
  }));
  const { examples: _leaks, ...leakage } = data.leakage;
  return { ...summary, data: { ...data, leakage }, trainings: shortened };
}

/** The numbers with the command that makes them, where --result says. */
async function keepResult(flags: Flags, result: unknown): Promise<void> {
  if (flags["result"] === undefined) return;
  const record = { command: commandLine(), ...(result as object) };
  await writeFileAtomic(resolve(String(flags["result"])), `${stableJson(record, 2)}\n`);
}

/** Runs a configuration to the end and prints its result. */
export async function runConfig(config: RunConfig, flags: Flags, context: Context): Promise<void> {
  const directory = resolve(String(flags["output"] ?? `runs/${config.name}`));
  sayResumable(context);
  const seconds = integer(flags, "checkpoint-seconds");
  const control = {
    signal: context.signal,
    fresh: flags["fresh"] === true,
    ...(seconds === undefined ? {} : { checkpoint_seconds: Math.max(seconds, 0.001) }),
  };
  sayDevice(config.model.device, context);
  const seeds = seedsOf(flags);
  if (seeds === undefined) {
    const { summary, report } = await followRun(runPipeline(config, { directory }, control), context);
    context.terminal.finish();
    await keepResult(flags, numbersOf(summary));
    context.print(`\n${resultText(summary)}\n\n  report: ${report}`);
    return;
  }
  const summary = await runSeeds(config, seeds, directory, control, async (events, seed) => {
    context.terminal.note(`seed ${seed}`);
    return (await followRun(events, context)).summary;
  });
  const { file, ...record } = summary;
  await keepResult(flags, record);
  context.emit({ type: "seeds", ...summary });
  context.print(`\n${seedsText(summary)}\n\n  report: ${file}`);
}

export const runVerb: Verb = {
  name: "run",
  summary: "run the whole method as a run file says",
  positional: { name: "file", describe: "run file, YAML or JSON" },
  flags: RUN_FLAGS,
  examples: [
    ["run configs/svamp.yaml", "run, or go on where it stopped"],
    ["run configs/svamp.yaml --set dpo.beta=0.3 --output runs/beta-0.3", "with another option"],
    ["run configs/svamp.yaml --seeds 0,1,2,3,4", "five seeds and their summary"],
  ],
  run: async (flags, context) => {
    const file = String(flags["file"]);
    const { overrides, flagOf } = overridesOf(flags);
    const config = await readRunFile(file, overrides, flagOf);
    await runConfig(config, flags, context);
  },
};
