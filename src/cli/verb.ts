// What one verb is, and how any of them is run: flags to yargs, errors to one line and an exit code, signals
// to an AbortSignal. It does NOT know what verbs do.
import type { Argv, CommandModule, Options } from "yargs";
import { flagName } from "../config/flags";
import { spell } from "../config/names";
import { isSelfRefineError, messageOf } from "../errors";
import { type CommonFlags, type Context, makeContext } from "./context";
import { EXIT, exitCodeOf } from "./exit-codes";
import { interruptSignal } from "./interrupt";
import { loraFlag } from "./lora-flags";

export type Flags = Readonly<Record<string, unknown>>;

export interface Positional {
  name: string;
  describe: string;
}

export interface Verb {
  name: string;
  summary: string;
  /** Arguments without a flag. The first is required unless `optional`. */
  positional?: Positional & { optional?: boolean };
  flags: Readonly<Record<string, Options>>;
  /** Command lines without the program's name, each with what it does. */
  examples: readonly (readonly [command: string, does: string])[];
  run: (flags: Flags, context: Context) => Promise<void>;
}

const COMMON_GROUP = "Output:";

const JSON_HELP = "JSON lines on stdout instead of text; the last is of type finished or error";

export const COMMON_FLAGS: Readonly<Record<string, Options>> = {
  json: {
    type: "boolean",
    group: COMMON_GROUP,
    describe: JSON_HELP,
  },
  quiet: {
    type: "boolean",
    alias: "q",
    group: COMMON_GROUP,
    describe: "no progress, only results and warnings",
  },
  debug: {
    type: "boolean",
    group: COMMON_GROUP,
    describe: "show the stack of an error (also SELFREFINE_DEBUG=1)",
  },
};

/** The flag of an option that a message names, if the verb has it: "sft.max_length" is --max-length. */
export function flagIn(verb: Verb, name: string): string | undefined {
  const option = name.replace(/\[.*/, "");
  const flag = [loraFlag(option), flagName(option.replaceAll(".", "-")), flagName(option.replace(/.*\./, ""))]
    .find((one) => one !== undefined && one in verb.flags);
  return flag === undefined ? undefined : `--${flag}`;
}

/** Writes the error as one line, or as one JSON object with --json; options are named by their flags. */
export function reportError(error: unknown, flags: CommonFlags, verb?: Verb): number {
  const code = isSelfRefineError(error) ? error.code : "ERR_INTERNAL";
  const message = verb ? spell(messageOf(error), (name) => flagIn(verb, name)) : messageOf(error);
  if (flags.json) process.stdout.write(`${JSON.stringify({ type: "error", code, message })}\n`);
  process.stderr.write(`error [${code}]: ${message}\n`);
  if (flags.debug && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
  else if (code === "ERR_INTERNAL")
    process.stderr.write("run again with --debug to see where it comes from\n");
  return exitCodeOf(error);
}

function commonFlags(flags: Flags): CommonFlags {
  return {
    json: flags["json"] === true,
    quiet: flags["quiet"] === true,
    debug: flags["debug"] === true || Boolean(process.env["SELFREFINE_DEBUG"]),
  };
}

/** Runs a verb to its exit code. */
export async function execute(verb: Verb, flags: Flags): Promise<number> {
  const common = commonFlags(flags);
  const interrupt = interruptSignal(() => {
    context.terminal.warn("stopping: what is done is being saved (again: stop at once)");
  });
  const context = makeContext(common, interrupt.signal);
  try {
    await verb.run(flags, context);
    context.terminal.finish();
    return EXIT.ok;
  } catch (error) {
    context.terminal.finish();
    const code = reportError(interrupt.signal.aborted ? interrupt.signal.reason : error, common, verb);
    if (interrupt.signal.aborted && context.resumeHint) process.stderr.write(`${context.resumeHint}\n`);
    return code;
  } finally {
    interrupt.release();
  }
}

/** A verb's flags with those of every verb. */
function allFlags({ flags }: Verb, forHelp: boolean): Record<string, Options> {
  const all: Record<string, Options> = { ...flags, ...COMMON_FLAGS };
  if ("seeds" in flags) all["json"] = { ...all["json"], describe: JSON_HELP.replace("finished", "finished (with --seeds: seeds)") };
  if (forHelp) return all;
  // yargs makes NaN of what is no number, and an error should say what was given: our schemas make the numbers.
  return Object.fromEntries(Object.entries(all).map(([name, flag]): [string, Options] =>
    [name, flag.type === "number" ? { ...flag, type: "string" } : flag]));
}

/** The verb as yargs wants it, to run or to show its help; `finished` gets the exit code. */
export function toCommand(verb: Verb, finished: (code: number) => void, forHelp: boolean): CommandModule {
  const { positional } = verb;
  const place = positional ? (positional.optional ? ` [${positional.name}]` : ` <${positional.name}>`) : "";
  return {
    command: `${verb.name}${place}`,
    describe: verb.summary,
    builder: (yargs: Argv) => {
      if (positional) yargs.positional(positional.name, { type: "string", describe: positional.describe });
      yargs.options(allFlags(verb, forHelp));
      for (const [command, does] of verb.examples) yargs.example(`selfrefine ${command}`, does);
      return yargs;
    },
    handler: async (flags) => finished(await execute(verb, flags)),
  };
}
