// The public API: what `import { ... } from "selfrefine"` gives. Everything here is meant to stay.
export { SelfRefineError, isSelfRefineError, type ErrorCode } from "./errors";
export { Model, type CreateOptions, type FreshLora, type LoadOptions } from "./model";
export type { HuggingFaceConfig } from "./checkpoint/model-config";
export { Tokenizer } from "./text/tokenizer";
export { trainBpe } from "./text/bpe-trainer";
export { renderPrompt, TEMPLATE_NAMES, TRIGGER, type TemplateName } from "./text/templates";
export type { Device, DType, ModelConfig } from "./native";
export type { DpoOptions, GenerationOptions, LoraOptions, ModelOptions, PlanOptions, SftOptions } from "./config/options";
export { plan, planFor, type MemoryPlan, type PlannedArena } from "./plan/plan";
export { sft, type SftData } from "./train/sft";
export { dpo, type DpoControl, type DpoData } from "./train/dpo";
export type { TrainingControl } from "./train/loop";
export type * from "./train/events";
export { sample, type Prompt, type SampleEvent, type SampleProgressEvent } from "./sample/sample";
export {
  selfRefine, type NoPairsEvent, type SelfRefineEvent, type SelfRefineInput, type SelfRefineOptions,
} from "./refine/self-refine";
export type { PairReport } from "./refine/report";
export { samplePaths } from "./refine/sample-paths";
export { buildPairs } from "./refine/pairs";
export { getTask, TASK_NAMES, type Task } from "./tasks";
export { demonstrate } from "./teacher/demonstrations";
export { proceduralAnswers } from "./teacher/procedural";
export type * from "./data/records";
export { readRecords } from "./data/table";
export { parseRunConfig, readRunFile } from "./config/run-file";
export type { RunConfig, RunConfigInput } from "./config/run-options";
export { runPipeline, type RunPlace } from "./run/pipeline";
export type { RunControl } from "./run/context";
export type * from "./run/events";
export type { RunSummary } from "./run/summary";
