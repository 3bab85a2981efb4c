// All numbers of a run in one record: what summary.json holds and every report is made from. It does NOT
// format.
import type { RunConfig } from "../config/run-options";
import type { Domain, Split } from "../data/records";
import type { AuditReport } from "../data/audit";
import type { Matrix } from "../evaluate/matrix";
import type { PairReport } from "../refine/report";
import type { DemonstrationSummary } from "./stages/demos";
import type { LeakageSummary } from "./questions";
import type { TrainingCounts } from "./stages/train";
import type { LoggedStep } from "./training-log";

/** Rows of the table, in order. */
export const MODEL_NAMES = {
  base: "base",
  tuned: "instruction-tuned",
  refined: "self-refined",
  withoutSft: "DPO without instruction-tuning",
  rejection: "fine-tuning on chosen paths",
} as const;

export interface StageSummary {
  name: string;
  key: string;
  seconds: number;
  cached: boolean;
}

export interface TrainingSummary {
  /** Name of the stage: "sft", "dpo", "dpo-2". */
  stage: string;
  counts: TrainingCounts;
  audit: AuditReport | null;
  steps: LoggedStep[];
}

/** One question with what each model made of it. */
export interface Example {
  task: string;
  domain: Domain;
  id: string;
  question: string;
  gold: string;
  answers: { model: string; completion: string; answer: string | null; correct: boolean }[];
}

export interface RunSummary {
  format: 1;
  version: string;
  name: string;
  seed: number;
  config: RunConfig;
  /** Where it was computed: device, instruction set, threads. */
  device: string;
  student: { parameters: number; vocab_size: number; path: string };
  data: {
    train: { task: string; split: Split; questions: number };
    evaluation: { task: string; split: Split; domain: Domain; questions: number }[];
    leakage: LeakageSummary;
    /** Documents of pre-training left out, for they repeat an evaluation question. */
    leaked_documents: number;
  };
  demonstrations: DemonstrationSummary;
  pairs: PairReport[];
  trainings: TrainingSummary[];
  matrix: Matrix;
  examples: Example[];
  /** Seconds of computing, over all stages; cached ones count what they took when they were computed. */
  seconds: number;
  stages: StageSummary[];
  /** What a reader must know: controls that could not be run, warnings. */
  notes: string[];
}
