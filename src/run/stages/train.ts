// What the training stages share: events become progress and a log, rows are audited before they are trained
// on, the trained model is saved. It does NOT know losses.
import { join } from "node:path";
import { type AuditReport, auditExamples, enforceAudit } from "../../data/audit";
import type { EncodedPair, EncodedSft } from "../../data/encode";
import { stableJson, writeFileAtomic } from "../../files";
import { isAdapterDirectory } from "../../checkpoint/peft";
import { Model, type LoadOptions } from "../../model";
import type { DpoEvent, SftEvent } from "../../train/events";
import type { TrainingControl } from "../../train/loop";
import type { RunContext, RunControl } from "../context";
import type { NoteEvent, StageEvent } from "../events";
import { baseOf, type ModelRef } from "../model-ref";
import { scratchDirectory } from "../store";
import { TrainingLog } from "../training-log";

export const LOG_FILE = "log.jsonl";
export const AUDIT_FILE = "audit.json";
export const MODEL_DIRECTORY = "model";

/** Rows of a stage that were trained on, as its summary tells. */
export interface TrainingCounts {
  rows: number;
  steps: number;
  dropped: number;
  truncated: number;
}

/** The adapters that a run trains on a model that has none yet, if it trains any. */
export async function openTrained(
  context: RunContext,
  from: ModelRef,
  work: NonNullable<LoadOptions["work"]>,
): Promise<Model> {
  const { lora } = context.config;
  const fresh = lora && !(await isAdapterDirectory(from.directory));
  return Model.load(from.directory, {
    ...context.modelOptions,
    ...baseOf(from),
    work,
    ...(lora ? { optim_states: "float32" } : {}), // those of the options are for a pretraining before
    ...(fresh ? { lora: { ...lora, seed: context.seed("lora") } } : {}),
  });
}

export function trainingControl(
  { signal, checkpoint_seconds: seconds }: RunControl,
  work: string,
): TrainingControl {
  return {
    ...(signal ? { signal } : {}),
    checkpoint: {
      directory: join(scratchDirectory(work), "checkpoints"),
      ...(seconds ? { every_seconds: seconds } : {}),
    },
  };
}

/** Audits the rows and writes what was found. @throws ERR_DATA under the policy `error` */
export async function* audit(
  policy: "error" | "warn",
  stage: string,
  work: string,
  model: Model,
  rows: readonly (EncodedSft | EncodedPair)[],
): AsyncGenerator<NoteEvent, AuditReport> {
  const report = auditExamples(model.tokenizer, rows);
  await writeFileAtomic(join(work, AUDIT_FILE), `${stableJson(report, 2)}\n`);
  const notes: NoteEvent[] = [];
  enforceAudit(report, policy, (message) => notes.push({ type: "warning", stage, message }));
  yield* notes;
  return report;
}

/** Passes a training's events on as a stage's, and logs its steps. @returns counts for the summary */
export async function* follow(
  events: AsyncGenerator<SftEvent | DpoEvent, void>,
  stage: string,
  work: string,
  rows: number,
): AsyncGenerator<StageEvent, TrainingCounts> {
  const log = new TrainingLog(join(work, LOG_FILE));
  const counts: TrainingCounts = { rows, steps: 0, dropped: 0, truncated: 0 };
  try {
    for await (const event of events) {
      if (event.type === "step") {
        await log.append(event);
        yield { type: "train_step", stage, step: event };
      } else if (event.type === "reference") {
        yield {
          type: "progress",
          stage: `${stage} reference`,
          finished: event.finished,
          total: event.total,
          unit: "pairs",
        };
      } else if (event.type === "trained") {
        Object.assign(counts, { steps: event.steps, dropped: event.dropped, truncated: event.truncated });
      }
    }
    return counts;
  } finally {
    await log.close();
  }
}

/**
 * Saves the trained model and the counts; `replace`, for a killed run may have saved it already. `location`: where the
 * model will lie in the end; a stage's directory is as deep as its work directory, which is as good.
 */
export async function saveTrained(
  model: Model,
  work: string,
  counts: TrainingCounts,
  location?: string,
): Promise<void> {
  await model.save(join(work, MODEL_DIRECTORY), { replace: true, ...(location === undefined ? {} : { location }) });
  await writeFileAtomic(join(work, "summary.json"), `${stableJson(counts, 2)}\n`);
}
