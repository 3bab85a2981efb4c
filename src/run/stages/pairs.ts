// Stage: preference pairs of sampled paths, by the run's policy. It does NOT sample or train.
import { join } from "node:path";
import { writeJsonl } from "../../data/jsonl";
import type { Demonstration, Question, SampledPath } from "../../data/records";
import { stableJson, writeFileAtomic } from "../../files";
import { buildPairs } from "../../refine/pairs";
import { plural } from "../../report/format";
import type { Task } from "../../tasks";
import { Tokenizer } from "../../text/tokenizer";
import type { RunContext } from "../context";
import { effectivePairs } from "../effective";
import type { RunEvent } from "../events";
import { type ModelRef, tokenizerAt } from "../model-ref";
import type { StageResult } from "../store";
import { promptOf, readOwn } from "./rows";
import { SAMPLES_FILE } from "./sample";

export const PAIRS_FILE = "pairs.jsonl";
export const PAIRS_REPORT = "summary.json";
/** Of the report, in the stage's key: one of an older format lacks what is shown of it, and is made anew. */
const REPORT_FORMAT = 2;

export interface PairSources {
  task: Task;
  questions: readonly Question[];
  questionsKey: string;
  /** File of the demonstrations, and the key of their stage. */
  demonstrations: string;
  demonstrationsKey: string;
}

export async function* pairsStage(
  context: RunContext,
  name: string,
  student: ModelRef,
  samples: StageResult,
  sources: PairSources,
  iteration: number,
): AsyncGenerator<RunEvent, StageResult> {
  const { config } = context;
  const seed = context.seed(name);
  const spec = {
    name,
    options: { pairs: config.pairs, template: config.template, seed, iteration, report: REPORT_FORMAT },
    inputs: {
      samples: samples.key,
      demonstrations: sources.demonstrationsKey,
      questions: sources.questionsKey,
    },
  };
  return yield* context.stage(spec, async function* (work) {
    const tokenizer = await Tokenizer.load(await tokenizerAt(student));
    const { pairs, report } = buildPairs(
      {
        task: sources.task,
        questions: sources.questions,
        demonstrations: await readOwn<Demonstration>(sources.demonstrations),
        paths: await readOwn<SampledPath>(join(samples.directory, SAMPLES_FILE)),
        renderPrompt: (asked, trigger) => promptOf(config, tokenizer, asked, trigger),
      },
      { ...effectivePairs(config.pairs), seed, iteration },
    );
    await writeJsonl(join(work, PAIRS_FILE), pairs);
    await writeFileAtomic(join(work, PAIRS_REPORT), `${stableJson(report, 2)}\n`);
    yield {
      type: "note",
      stage: name,
      message:
        `${plural(report.pairs, "pair")} of ${plural(report.paired_questions, "question")}, ` +
        `${(100 * report.teacher_share).toFixed(0)} % of chosen from the teacher`,
    };
  });
}
