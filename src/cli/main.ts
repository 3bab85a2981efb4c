// The command line: which verbs there are, what a mistyped word meant, and the exit code. It does NOT know
// what verbs do.
import yargs, { type Argv } from "yargs";
import { nearestName } from "../config/parse";
import { codeOf, SelfRefineError } from "../errors";
import { ioError } from "../files";
import { packageVersion } from "../version";
import { EXIT, EXIT_CODE_HELP } from "./exit-codes";
import { COMMON_FLAGS, reportError, toCommand } from "./verb";
import { VERBS } from "./verbs";

/**
 * `selfrefine ... | head` closes our stdout early: that ends the process without a word, and what is undone is not
 * reported as done. Output that cannot be written is an error: nobody would see what else it says there.
 */
export function endOnBrokenStream(stream: NodeJS.WriteStream, name: string): void {
  stream.on("error", (error) => {
    if (codeOf(error) === "EPIPE") process.exit(EXIT.brokenPipe);
    if (stream !== process.stderr) reportError(ioError(error, "write", name), { json: false, quiet: false, debug: false });
    process.exit(EXIT.failure);
  });
}

const ABOUT = `selfrefine <verb> [options]

Trains small language models by Self-refine Instruction-tuning: a teacher's demonstrations instruct the student,
then the student's own reasoning paths, rewarded by the teacher's answers, refine it by preference optimization.`;

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["quickstart", "the whole method in a few minutes on a CPU"],
  ["run configs/multiarith.yaml", "a run of your own, resumable"],
  ["sft --model DIR --train demos.jsonl --output tuned", "one stage on files"],
];

function flagsOfVerb(name: string | undefined): string[] {
  const verb = VERBS.find((one) => one.name === name);
  return [...Object.keys(verb?.flags ?? {}), ...Object.keys(COMMON_FLAGS), "help", "version"];
}

function hint(word: string, known: readonly string[], prefix: string): string {
  const near = nearestName(word, known);
  return near === undefined ? "" : `; did you mean ${prefix}${near}?`;
}

/** Says what yargs found wrong in our own words. */
function usageError(message: string, args: readonly string[]): SelfRefineError {
  const verb = VERBS.find((one) => one.name === args[0]);
  const where = verb ? `selfrefine ${verb.name} --help` : "selfrefine --help";
  const unknown = /^Unknown arguments?: (.*)$/.exec(message)?.[1]?.split(", ") ?? [];
  const lines = unknown.map((word) => {
    if (!verb)
      return `no verb "${word}"${hint(
        word,
        VERBS.map((one) => one.name),
        "",
      )}`;
    const isFlag = args.some(
      (arg) => arg.replace(/=.*/, "").replace(/^-+(no-)?/, "") === word && arg.startsWith("-"),
    );
    return isFlag
      ? `no option --${word}${hint(word, flagsOfVerb(verb.name), "--")}`
      : `unexpected argument "${word}"`;
  });
  const text = lines.length > 0 ? [...new Set(lines)].join("; ") : message.replace(/\s*\n\s*/g, ": ");
  return new SelfRefineError("ERR_CONFIG", `${text} (see ${where})`);
}

function build(args: readonly string[], finished: (code: number) => void): Argv {
  const program = yargs([...args])
    .scriptName("selfrefine")
    .usage(ABOUT)
    .parserConfiguration({ "camel-case-expansion": false, "strip-aliased": true, "greedy-arrays": false })
    .wrap(Math.min(110, process.stdout.columns ?? 100))
    .updateStrings({ "Commands:": "Verbs:" })
    .version(packageVersion())
    .alias("help", "h")
    .strict()
    .demandCommand(1, 1, "a verb is wanted", "one verb is wanted")
    .exitProcess(false)
    .epilogue(EXIT_CODE_HELP)
    .fail((message, error: Error | undefined) => {
      throw error ?? usageError(message, args);
    });
  for (const verb of VERBS) program.command(toCommand(verb, finished));
  for (const [command, does] of EXAMPLES) program.example(`selfrefine ${command}`, does);
  return program;
}

/** Runs a command line. @returns the exit code; never rejects */
export async function main(args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  try {
    await build(args, (result) => {
      code = result;
    }).parseAsync();
    return code;
  } catch (error) {
    const flags = { json: args.includes("--json"), quiet: false, debug: args.includes("--debug") };
    return reportError(error, flags);
  }
}
