// Verb: preference pairs of sampled paths.
import { resolve } from "node:path";
import { flagsOf, givenOptions } from "../config/flags";
import { spell } from "../config/names";
import { pairOptions as schema } from "../config/options";
import { writeJsonl } from "../data/jsonl";
import type { Demonstration, Question, SampledPath } from "../data/records";
import { fail } from "../errors";
import { pairOptions } from "../refine/options";
import { buildPairs } from "../refine/pairs";
import { whyNoPairs } from "../refine/report";
import { percent, plural } from "../report/format";
import { normalizeText } from "../tasks/text";
import { renderPrompt } from "../text/templates";
import { Tokenizer } from "../text/tokenizer";
import {
  freeOutput,
  openQuestions,
  OVERWRITE_FLAG,
  QUESTION_FLAGS,
  required,
  TEMPLATE_FLAG,
  templateOf,
  textFlag,
} from "./common";
import { sampleVerb } from "./sample";
import { readNamed } from "./train-files";
import { flagIn, type Verb } from "./verb";

interface RecordForm {
  texts: readonly string[];
  /** Texts or null. */
  readable: readonly string[];
  what: string;
}

const DEMONSTRATION: RecordForm = {
  texts: ["id", "output"],
  readable: ["target"],
  what: "a demonstration as `demos` writes it",
};
const PATH: RecordForm = {
  texts: ["id", "mode", "instruction", "input", "completion", "finish_reason"],
  readable: [],
  what: "a reasoning path as `sample` writes it",
};

/** A record another verb wrote, held to the fields pairs are made from. @throws ERR_DATA naming file, line, field */
function parseAs<T>(form: RecordForm): (value: unknown, place: string) => T {
  return (value, place) => {
    const record = (value ?? {}) as Record<string, unknown>;
    const isText = (name: string) => typeof record[name] === "string";
    const wrong =
      form.texts.find((name) => !isText(name)) ??
      form.readable.find((name) => record[name] !== null && !isText(name));
    if (wrong === undefined) return value as T;
    const got = JSON.stringify(record[wrong])?.slice(0, 60) ?? "missing";
    return fail("ERR_DATA", `${place}: field "${wrong}" is ${got}; wanted ${form.what}`, { place, field: wrong });
  };
}

/** The paths, each of them of one of these questions or of none. @throws ERR_DATA when other questions were asked */
async function readPaths(file: string, questions: readonly Question[]): Promise<SampledPath[]> {
  const named = await readNamed(file, parseAs<SampledPath>(PATH));
  const byId = new Map(questions.map((question) => [question.id, normalizeText(question.question)]));
  const known = named.filter(({ record }) => byId.has(record.id));
  const other = known.find(
    ({ record: { id, instruction, input } }) =>
      !normalizeText(`${instruction} ${input}`).includes(byId.get(id) as string),
  );
  const stranger = other ?? (known.length === 0 ? named[0] : undefined);
  if (stranger !== undefined) {
    const { id } = stranger.record;
    const why = other ? `"${id}" is another question there` : `"${id}" and all others are no questions of it`;
    fail("ERR_DATA", `${stranger.name}: was not drawn from this task, split and options: ${why}; give the question ` +
      "flags that `sample` was given", { file, id });
  }
  return known.map(({ record }) => record);
}

/** The flag of this verb, or of the one that draws the samples. */
const flagHere = (name: string): string => flagIn(pairsVerb, name) ?? `${flagIn(sampleVerb, name) ?? name} of sample`;

export const pairsVerb: Verb = {
  name: "pairs",
  summary: "make preference pairs of reasoning paths",
  flags: {
    samples: textFlag("reasoning paths, as `sample` writes them", "Files:", { demandOption: true }),
    demonstrations: textFlag("the teacher's demonstrations, as `demos` writes them", "Files:", {
      demandOption: true,
    }),
    output: textFlag("file of pairs, JSON Lines", "Files:", { demandOption: true }),
    model: textFlag("directory of the student, for the template `chat`"),
    ...OVERWRITE_FLAG,
    ...QUESTION_FLAGS,
    ...TEMPLATE_FLAG,
    ...flagsOf(schema, "Pairs:"),
  },
  examples: [
    [
      "pairs --task wordproblems --samples paths.jsonl --demonstrations demos.jsonl --output pairs.jsonl",
      "as the paper",
    ],
    [
      "pairs --task svamp --data DIR --samples paths.jsonl --demonstrations demos.jsonl --policy correctness " +
        "--output pairs.jsonl",
      "right over wrong paths",
    ],
  ],
  run: async (flags, context) => {
    const output = await freeOutput(resolve(required(flags, "output", "a file")), flags["overwrite"]);
    const options = givenOptions(schema, flags);
    pairOptions(options); // before files are read
    const { task, questions } = await openQuestions(flags, "train");
    const template = templateOf(flags);
    if (template !== "chat" && flags["model"] !== undefined) {
      fail("ERR_CONFIG", `--model has no effect with the template ${template}; leave it out`, { option: "model" });
    }
    const tokenizer =
      template === "chat"
        ? {
            tokenizer: await Tokenizer.load(required(flags, "model", "the template chat is the model's own")),
          }
        : {};
    const { pairs, report } = buildPairs(
      {
        task,
        questions,
        demonstrations: (
          await readNamed(String(flags["demonstrations"]), parseAs<Demonstration>(DEMONSTRATION))
        ).map(({ record }) => record),
        paths: await readPaths(String(flags["samples"]), questions),
        renderPrompt: (parts, trigger) => renderPrompt(template, parts, { trigger, ...tokenizer }),
      },
      options,
    );
    await writeJsonl(output, pairs);
    context.emit({ type: "finished", output, ...report });
    if (pairs.length === 0) context.terminal.warn(spell(whyNoPairs(report), flagHere));
    context.print(
      `${output}: ${plural(report.pairs, "pair")} of ${report.paired_questions} of ${plural(report.questions, "question")}; all right ` +
        `${report.all_right}, all wrong ${report.all_wrong}; chosen from the teacher ${percent(report.teacher_share)}`,
    );
  },
};
