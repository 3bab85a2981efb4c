// What a run tells while it goes, as typed events. It does NOT know who listens.
import type { DpoStepEvent, SftStepEvent } from "../train/events";
import type { RunSummary } from "./summary";

export interface StageBeginEvent {
  type: "stage_begin";
  stage: string;
  key: string;
}

export interface StageEndEvent {
  type: "stage_end";
  stage: string;
  key: string;
  directory: string;
  /** It was there already. */
  cached: boolean;
  seconds: number;
}

export interface ProgressEvent {
  type: "progress";
  stage: string;
  finished: number;
  total: number;
  /** What is counted, in the plural. */
  unit: string;
}

/** An optimizer step of a training stage. */
export interface StepEvent {
  type: "train_step";
  stage: string;
  step: SftStepEvent | DpoStepEvent;
}

export interface NoteEvent {
  type: "note" | "warning";
  stage: string;
  message: string;
}

export interface RunFinishedEvent {
  type: "finished";
  /** The run's directory, and the files in it a person looks at. */
  directory: string;
  summary: RunSummary;
  report: string;
}

/** What a stage may yield while it computes. */
export type StageEvent = ProgressEvent | StepEvent | NoteEvent;
export type RunEvent = StageBeginEvent | StageEndEvent | StageEvent | RunFinishedEvent;
