// Gathers what the stages of a run left into one record. It does NOT compute anything but the comparison of
// models.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { AuditReport } from "../data/audit";
import { accuracyMatrix, type ModelPredictions } from "../evaluate/matrix";
import { readJson } from "../files";
import { Model } from "../model";
import { packageVersion } from "../version";
import type { RunContext } from "./context";
import { chooseExamples } from "./examples";
import { baseOf } from "./model-ref";
import { portableConfig } from "./portable";
import type { RunQuestions } from "./questions";
import type { NamedModel, Refinement } from "./refinement";
import { DEMONSTRATIONS_REPORT, type DemonstrationSummary } from "./stages/demos";
import { AUDIT_FILE, LOG_FILE, type TrainingCounts } from "./stages/train";
import type { StageResult } from "./store";
import type { Student } from "./student";
import { MODEL_NAMES, type RunSummary, type TrainingSummary } from "./summary";
import { readTrainingLog } from "./training-log";

export interface Outcome {
  context: RunContext;
  questions: RunQuestions;
  student: Student;
  demos: StageResult;
  refinement: Refinement;
  models: readonly NamedModel[];
  examined: readonly ModelPredictions[];
  notes: readonly string[];
}

/** A stage that trained has a log. */
async function trainingOf({ name, directory }: StageResult): Promise<TrainingSummary[]> {
  if (!existsSync(join(directory, LOG_FILE))) return [];
  const audit = join(directory, AUDIT_FILE);
  return [
    {
      stage: name,
      counts: (await readJson(join(directory, "summary.json"))) as TrainingCounts,
      audit: existsSync(audit) ? ((await readJson(audit)) as AuditReport) : null,
      steps: await readTrainingLog(join(directory, LOG_FILE)),
    },
  ];
}

async function describeStudent({
  context,
  student,
}: Outcome): Promise<Pick<RunSummary, "device" | "student">> {
  const { directory } = student.model;
  const model = await Model.load(directory, { ...context.samplingModelOptions, ...baseOf(student.model) });
  try {
    return {
      device: model.description,
      student: {
        parameters: model.parameterCount,
        vocab_size: model.config.vocabSize,
        path: basename(context.config.student.path ?? "from scratch"),
      },
    };
  } finally {
    model.dispose();
  }
}

export async function summarize(outcome: Outcome): Promise<RunSummary> {
  const { context, questions, student, demos, refinement, examined, notes } = outcome;
  const { config, results } = context;
  return {
    format: 1,
    version: packageVersion(),
    name: config.name,
    seed: config.seed,
    config: portableConfig(config),
    ...(await describeStudent(outcome)),
    data: {
      train: { task: questions.task.name, split: questions.split, questions: questions.train.length },
      evaluation: questions.sets.map(({ task, split, domain, questions: { length } }) => ({
        task: task.name,
        split,
        domain,
        questions: length,
      })),
      leakage: questions.leakage,
      leaked_documents: student.leakedDocuments,
    },
    demonstrations: (await readJson(join(demos.directory, DEMONSTRATIONS_REPORT))) as DemonstrationSummary,
    pairs: refinement.pairs.map(({ report }) => report),
    trainings: (await Promise.all(results.map(trainingOf))).flat(),
    matrix: accuracyMatrix(examined, {
      baseline: MODEL_NAMES.tuned,
      control: { model: MODEL_NAMES.refined, against: MODEL_NAMES.rejection },
      seed: config.seed,
    }),
    examples: chooseExamples(questions.sets, examined, MODEL_NAMES.tuned, MODEL_NAMES.refined),
    seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
    stages: results.map(({ name, key, seconds, cached }) => ({ name, key, seconds, cached })),
    notes: [...notes],
  };
}
