// The whole method as stages: demonstrations, student, instruction-tuning, reasoning paths, pairs, preference
// optimization, controls, examination, report. What was computed before with the same options and inputs is
// taken as it is. It does NOT know the command line.
import { join } from "node:path";
import type { RunConfig } from "../config/run-options";
import { stableJson, writeFileAtomic } from "../files";
import { renderReport } from "../report/html";
import { RunContext, type RunControl } from "./context";
import type { RunEvent } from "./events";
import type { ModelRef } from "./model-ref";
import { loadQuestions, type RunQuestions } from "./questions";
import { controlStages, type NamedModel, refinementStages } from "./refinement";
import { expectStudent } from "./stages/base";
import { DEMONSTRATIONS_FILE, demosStage } from "./stages/demos";
import { evaluateStage, readPredictions } from "./stages/evaluate";
import type { PairSources } from "./stages/pairs";
import { sftStage } from "./stages/sft";
import { type StageResult, StageStore } from "./store";
import { studentStages } from "./student";
import { summarize } from "./summarize";
import { MODEL_NAMES, type RunSummary } from "./summary";
import type { ModelPredictions } from "../evaluate/matrix";

export const SUMMARY_FILE = "summary.json";
export const REPORT_FILE = "report.html";

export interface RunPlace {
  /** Holds the stages, shared by runs that overlap. */
  directory: string;
  /** Where summary.json and report.html go; default: `directory`. */
  results?: string;
}

/** "self-refined, round 1" -> "self-refined-round-1", for names of stages. */
const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

async function* examine(
  context: RunContext,
  models: readonly NamedModel[],
  questions: RunQuestions,
): AsyncGenerator<RunEvent, ModelPredictions[]> {
  const examined: ModelPredictions[] = [];
  for (const { name, model } of models) {
    const predictions = [];
    for (const set of questions.sets) {
      predictions.push(...(await readPredictions(yield* evaluateStage(context, slug(name), model, set))));
    }
    examined.push({ model: name, predictions });
  }
  return examined;
}

function sourcesOf(questions: RunQuestions, demos: StageResult): PairSources {
  return {
    task: questions.task,
    questions: questions.train,
    questionsKey: questions.keys.train,
    demonstrations: join(demos.directory, DEMONSTRATIONS_FILE),
    demonstrationsKey: demos.key,
  };
}

async function writeResults(directory: string, summary: RunSummary): Promise<string> {
  const report = join(directory, REPORT_FILE);
  await writeFileAtomic(join(directory, SUMMARY_FILE), `${stableJson(summary, 2)}\n`);
  await writeFileAtomic(report, renderReport(summary));
  return report;
}

/**
 * Runs the method. The last event is `finished`; a consumer that is slow holds the run back.
 * @throws what a stage throws; the signal's reason when aborted, with all that was done kept for the next
 * call
 */
export async function* runPipeline(
  config: RunConfig,
  place: RunPlace,
  control: RunControl = {},
): AsyncGenerator<RunEvent, RunSummary> {
  const context = new RunContext(config, new StageStore(place.directory), control);
  await expectStudent(context);
  const questions = await loadQuestions(config);
  if (questions.leakage.dropped > 0) {
    yield {
      type: "warning",
      stage: "questions",
      message: `${questions.leakage.dropped} train questions recur in the evaluation sets and are left out of training`,
    };
  }
  const demos = yield* demosStage(context, questions);
  const student = yield* studentStages(context, questions, demos);
  const sources = sourcesOf(questions, demos);
  const tuned: ModelRef = yield* sftStage(context, student.model, sources.demonstrations, demos.key);
  const refinement = yield* refinementStages(context, tuned, sources);
  const controls = yield* controlStages(context, student.model, tuned, refinement.pairs[0]!, sources);
  const models: NamedModel[] = [
    { name: MODEL_NAMES.base, model: student.model },
    { name: MODEL_NAMES.tuned, model: tuned },
    ...refinement.models,
    ...controls.models,
  ];
  const examined = yield* examine(context, models, questions);
  const summary = await summarize({
    context,
    questions,
    student,
    demos,
    refinement,
    models,
    examined,
    notes: [...refinement.notes, ...controls.notes],
  });
  const directory = place.results ?? place.directory;
  const report = await writeResults(directory, summary);
  yield { type: "finished", directory, summary, report };
  return summary;
}
