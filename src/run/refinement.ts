// Phase 2, as often as asked for, and its controls: sample, pair, prefer. It does NOT instruct or examine.
import { join } from "node:path";
import { spell } from "../config/names";
import type { PreferencePair } from "../data/records";
import { fail } from "../errors";
import { readJson } from "../files";
import { chosenCompletions } from "../refine/chosen-completions";
import { type PairReport, whyNoPairs } from "../refine/report";
import type { RunContext } from "./context";
import type { RunEvent } from "./events";
import type { ModelRef } from "./model-ref";
import { dpoStage } from "./stages/dpo";
import { PAIRS_FILE, PAIRS_REPORT, pairsStage, type PairSources } from "./stages/pairs";
import { asked, readOwn } from "./stages/rows";
import { sampleStage } from "./stages/sample";
import { rejectionStage } from "./stages/sft";
import type { StageResult } from "./store";
import { MODEL_NAMES } from "./summary";

export interface NamedModel {
  name: string;
  model: ModelRef;
}

export interface Pairs {
  result: StageResult;
  report: PairReport;
}

export interface Refinement {
  models: NamedModel[];
  /** Of each round. */
  pairs: Pairs[];
  notes: string[];
}

async function* makePairs(
  context: RunContext,
  suffix: string,
  student: ModelRef,
  sources: PairSources,
  iteration: number,
): AsyncGenerator<RunEvent, Pairs> {
  const questions = asked(sources.task, sources.questions);
  const samples = yield* sampleStage(context, `sample${suffix}`, student, questions, sources.questionsKey);
  const result = yield* pairsStage(context, `pairs${suffix}`, student, samples, sources, iteration);
  return { result, report: (await readJson(join(result.directory, PAIRS_REPORT))) as PairReport };
}

/**
 * Each round starts from the model of the one before, which is also its reference. A later round that finds no pairs
 * is the end, with a note: what the earlier ones made stands.
 * @throws ERR_DATA saying why where the first round finds none
 */
export async function* refinementStages(
  context: RunContext,
  tuned: ModelRef,
  sources: PairSources,
): AsyncGenerator<RunEvent, Refinement> {
  const refinement: Refinement = { models: [], pairs: [], notes: [] };
  let student = tuned;
  for (let iteration = 0; iteration < context.config.iterations; iteration++) {
    const suffix = iteration === 0 ? "" : `-${iteration + 1}`;
    const pairs = yield* makePairs(context, suffix, student, sources, iteration);
    refinement.pairs.push(pairs);
    if (pairs.report.pairs === 0) {
      const why = spell(whyNoPairs(pairs.report), (name) => name);
      if (iteration === 0) fail("ERR_DATA", why, { report: pairs.report });
      yield { type: "warning", stage: `dpo${suffix}`, message: why };
      refinement.notes.push(`round ${iteration + 1} found no pairs: self-refined is the model of round ${iteration}`);
      break;
    }
    student = yield* dpoStage(context, `dpo${suffix}`, student, pairs.result);
    refinement.models.push({ name: `${MODEL_NAMES.refined}, round ${iteration + 1}`, model: student });
  }
  refinement.models.at(-1)!.name = MODEL_NAMES.refined;
  return refinement;
}

async function* withoutSft(
  context: RunContext,
  base: ModelRef,
  sources: PairSources,
): AsyncGenerator<RunEvent, NamedModel | string> {
  const pairs = yield* makePairs(context, "-without-sft", base, sources, 0);
  if (pairs.report.pairs === 0) {
    return `${MODEL_NAMES.withoutSft}: not run, for the samples of the untuned student give no pairs`;
  }
  return {
    name: MODEL_NAMES.withoutSft,
    model: yield* dpoStage(context, "dpo-without-sft", base, pairs.result),
  };
}

async function* rejectionSampling(
  context: RunContext,
  tuned: ModelRef,
  pairs: Pairs,
): AsyncGenerator<RunEvent, NamedModel | string> {
  const chosenFrom = await readOwn<PreferencePair>(join(pairs.result.directory, PAIRS_FILE));
  const { distinct } = context.config.rejection;
  const rows = chosenCompletions(chosenFrom, distinct);
  if (rows.length === 0) return `${MODEL_NAMES.rejection}: not run, for there are no pairs`;
  return {
    name: MODEL_NAMES.rejection,
    model: yield* rejectionStage(context, tuned, rows, `${pairs.result.key}${distinct ? "" : ", repeated"}`),
  };
}

/** What else could explain a gain. A control that cannot be run is a note, not an error. */
export async function* controlStages(
  context: RunContext,
  base: ModelRef,
  tuned: ModelRef,
  first: Pairs,
  sources: PairSources,
): AsyncGenerator<RunEvent, { models: NamedModel[]; notes: string[] }> {
  const outcome: { models: NamedModel[]; notes: string[] } = { models: [], notes: [] };
  const keep = (one: NamedModel | string) => {
    if (typeof one === "string") outcome.notes.push(one);
    else outcome.models.push(one);
  };
  const { controls } = context.config;
  if (controls.includes("rejection_sampling")) keep(yield* rejectionSampling(context, tuned, first));
  if (controls.includes("dpo_without_sft")) keep(yield* withoutSft(context, base, sources));
  return outcome;
}
