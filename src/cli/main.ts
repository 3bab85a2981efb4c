// The command line: which verbs there are, what a mistyped word meant, and the exit code. It does NOT know
// what verbs do.
import yargs, { type Argv } from "yargs";
import { hint, noChoice, spell } from "../config/names";
import { codeOf, SelfRefineError } from "../errors";
import { ioError } from "../files";
import { packageVersion } from "../version";
import { EXIT, EXIT_CODE_HELP } from "./exit-codes";
import { COMMON_FLAGS, flagIn, reportError, toCommand, type Verb } from "./verb";
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

const verbNames = VERBS.map(({ name }) => name);
const flagsOf = (verb: Verb) => ({ ...verb.flags, ...COMMON_FLAGS });
const dashed = (name: string) => `--${name}`;

/** An option the verb does not have: a slip, another trainer's name, or an option of other verbs. */
function noOption(word: string, verb: Verb): string {
  const meant = hint(word, [...Object.keys(flagsOf(verb)), "help", "version"], dashed);
  const others = VERBS.filter(({ flags }) => Object.hasOwn(flags, word)).map(({ name }) => name);
  const owners = others.length > 0 ? `; it is one of ${others.join(", ")}` : "";
  return `no option --${word} of ${verb.name}${meant === "" ? owners : spell(meant, (name) => flagIn(verb, name))}`;
}

function noVerb(word: string): string {
  const meant = hint(word, verbNames, (name) => name);
  return `no verb "${word}"${meant === "" ? `; verbs are ${verbNames.join(", ")}` : meant}`;
}

/** Names of the flags on a command line, known or not. */
const flagsIn = (args: readonly string[]): string[] =>
  args.filter((arg) => /^-+[^-\d.]/.test(arg)).map((arg) => arg.replace(/=.*/s, "").replace(/^-+(no-)?/, ""));

/** What yargs complains of, in its English, and how we say it. */
interface Complaint {
  theirs: RegExp;
  ours: (verb: Verb | undefined, match: readonly string[], args: readonly string[]) => string[];
}

const COMPLAINTS: readonly Complaint[] = [
  {
    theirs: /^Unknown arguments?: (.*)$/,
    ours: (verb, [, words = ""], args) => words.split(", ").map((word) => {
      if (!verb) return noVerb(word);
      return flagsIn(args).includes(word) ? noOption(word, verb) : `unexpected argument "${word}"`;
    }),
  },
  {
    theirs: /^Missing required arguments?: (.*)$/,
    ours: (verb, [, flags = ""], args) => [
      // yargs sees these later, but a mistyped --model is why there is none.
      ...flagsIn(args).filter((flag) => verb && !(flag in flagsOf(verb))).map((flag) => noOption(flag, verb!)),
      ...flags.split(", ").map((flag) => {
        const describe = verb?.flags[flag]?.describe;
        return `--${flag} is missing${describe === undefined ? "" : `: ${describe}`}`;
      }),
    ],
  },
  {
    theirs: /^Not enough arguments following: (.*)$/,
    ours: (_, [, flag = ""]) => [`--${flag} wants a value`],
  },
  {
    theirs: /^Not enough non-option arguments/,
    ours: (verb) => [`${verb?.positional?.name ?? "an argument"} is missing${verb?.positional ? `: ${verb.positional.describe}` : ""}`],
  },
  {
    theirs: /Argument: (.*?), Given: "?(.*?)"?, Choices: /,
    ours: (verb, [, flag = "", got = ""]) =>
      [noChoice(flag.replaceAll("-", "_"), got, (verb?.flags[flag]?.choices ?? []).map(String), dashed(flag))],
  },
];

/** Says what yargs found wrong in our own words. */
function usageError(message: string, args: readonly string[]): SelfRefineError {
  const verb = VERBS.find(({ name }) => name === args.find((arg) => !arg.startsWith("-")));
  const where = verb ? `selfrefine ${verb.name} --help` : "selfrefine --help";
  const lines = message.split("\n").flatMap((line) => COMPLAINTS.flatMap(({ theirs, ours }) => {
    const match = theirs.exec(line);
    return match ? ours(verb, match, args) : [];
  }));
  const text = lines.length > 0 ? [...new Set(lines)].join("; ") : message.replace(/\s*\n\s*/g, ": ");
  return new SelfRefineError("ERR_CONFIG", `${verb ? spell(text, (name) => flagIn(verb, name)) : text} (see ${where})`);
}

function build(args: readonly string[], finished: (code: number) => void): Argv {
  const program = yargs([...args])
    .scriptName("selfrefine")
    .locale("en") // COMPLAINTS reads its messages
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
    .fail((message: string | null, error: Error | undefined) => {
      const isUsage = error === undefined || error.name === "YError";
      throw isUsage ? usageError(message ?? error?.message ?? "", args) : error;
    });
  const forHelp = args.includes("--help") || args.includes("-h");
  for (const verb of VERBS) program.command(toCommand(verb, finished, forHelp));
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
