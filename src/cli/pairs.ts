// Verb: preference pairs of sampled paths.
import { resolve } from "node:path";
import { pairRules } from "../config/effects";
import { flagsOf, givenOptions } from "../config/flags";
import { parseOptions } from "../config/parse";
import { pairSection } from "../config/run-options";
import { writeJsonl } from "../data/jsonl";
import type { Demonstration, SampledPath } from "../data/records";
import { readRecords } from "../data/table";
import { fail } from "../errors";
import { buildPairs } from "../refine/pairs";
import { percent } from "../report/format";
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
import type { Verb } from "./verb";

/**
 * Records another verb wrote, held to the fields pairs are made from. @throws ERR_DATA naming file and field
 */
async function readWith<T>(path: string, fields: readonly string[], what: string): Promise<T[]> {
  const records = await readRecords(path);
  records.forEach((record, index) => {
    const missing = fields.find((field) => !(field in ((record ?? {}) as object)));
    if (missing !== undefined) {
      fail("ERR_DATA", `${path}:${index + 1}: field "${missing}" is missing; wanted ${what}`, {
        path,
        field: missing,
      });
    }
  });
  return records as T[];
}

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
    ...flagsOf(pairSection, "Pairs:"),
    seed: textFlag("seed of the lots that choose among candidates", "Pairs:", { defaultDescription: "0" }),
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
    const options = parseOptions(
      pairSection,
      givenOptions(pairSection, flags),
      "pair options",
      pairRules as never,
    );
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
        demonstrations: await readWith<Demonstration>(
          String(flags["demonstrations"]),
          ["id", "output", "target"],
          "a demonstration as `demos` writes it",
        ),
        paths: await readWith<SampledPath>(
          String(flags["samples"]),
          ["id", "mode", "completion", "finish_reason"],
          "a reasoning path as `sample` writes it",
        ),
        renderPrompt: (parts, trigger) => renderPrompt(template, parts, { trigger, ...tokenizer }),
      },
      { ...options, seed: Number(flags["seed"] ?? 0) },
    );
    await writeJsonl(output, pairs);
    context.emit({ type: "finished", output, ...report });
    context.print(
      `${output}: ${report.pairs} pairs of ${report.paired_questions} of ${report.questions} questions; all right ` +
        `${report.all_right}, all wrong ${report.all_wrong}; chosen from the teacher ${percent(report.teacher_share)}`,
    );
  },
};
