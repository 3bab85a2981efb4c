// Stage: instruction-tuning of a student on demonstrations, or on any rows of prompt and completion (the
// control of the second phase). It does NOT make rows.
import { join } from "node:path";
import type { Encoded, EncodedSft } from "../../data/encode";
import { encodeSft } from "../../data/encode";
import type { Demonstration } from "../../data/records";
import type { SftRecord } from "../../data/formats";
import type { RunConfig } from "../../config/run-options";
import type { Model } from "../../model";
import { trainingWork } from "../../plan/work";
import { sft } from "../../train/sft";
import { type RunContext, wanted } from "../context";
import { effectiveTraining } from "../effective";
import type { RunEvent, StageEvent } from "../events";
import type { ModelRef } from "../model-ref";
import { encodeDemonstrations, readOwn } from "./rows";
import { audit, follow, MODEL_DIRECTORY, openTrained, saveTrained, trainingControl } from "./train";

interface SftSource {
  /** Name of the stage, and of its seed. */
  name: string;
  key: string;
  options: RunConfig["sft"];
  rows: (model: Model) => Promise<Encoded<EncodedSft>>;
}

async function* trainStage(
  context: RunContext,
  from: ModelRef,
  source: SftSource,
): AsyncGenerator<RunEvent, ModelRef> {
  const { config } = context;
  const seed = context.seed(source.name);
  const spec = {
    name: source.name,
    options: {
      sft: source.options,
      seed,
      template: config.template,
      trigger: config.demonstration_trigger,
      audit: config.audit,
      model: context.phaseKey,
    },
    inputs: { model: from.key, rows: source.key },
  };
  const result = yield* context.stage(spec, (work) => compute(context, from, source, seed, work));
  return { key: result.key, directory: join(result.directory, MODEL_DIRECTORY), stage: result.directory };
}

async function* compute(
  context: RunContext,
  from: ModelRef,
  source: SftSource,
  seed: number,
  work: string,
): AsyncGenerator<StageEvent, void> {
  const model = await openTrained(context, from, trainingWork("sft", source.options));
  try {
    const encoded = await source.rows(model);
    yield* audit(context.config.audit, source.name, work, model, encoded.examples);
    const options = { ...effectiveTraining(source.options), seed };
    const events = sft(model, encoded, options, trainingControl(context.control, work));
    const counts = yield* follow(events, source.name, work, encoded.examples.length);
    await saveTrained(model, work, {
      ...counts,
      dropped: encoded.dropped.length,
      truncated: encoded.truncated,
    });
  } finally {
    model.dispose();
  }
}

/** Phase 1. */
export function sftStage(
  context: RunContext,
  base: ModelRef,
  demonstrations: string,
  key: string,
): AsyncGenerator<RunEvent, ModelRef> {
  return trainStage(context, base, {
    name: "sft",
    key,
    options: context.config.sft,
    rows: async (model) => {
      const rows = wanted(
        await readOwn<Demonstration>(demonstrations),
        "demonstrations",
        "the teacher answered none of the train questions, or the filter left none",
      );
      return encodeDemonstrations(model, rows, context.config);
    },
  });
}

/** The control: more instruction-tuning, on the chosen completions alone. */
export function rejectionStage(
  context: RunContext,
  from: ModelRef,
  rows: readonly (SftRecord & { id: string })[],
  key: string,
): AsyncGenerator<RunEvent, ModelRef> {
  const { distinct: _, ...instead } = context.config.rejection;
  const options = { ...context.config.sft, ...instead };
  const { max_length, overlong } = options;
  return trainStage(context, from, {
    name: "rejection-sampling",
    key,
    options,
    rows: (model) =>
      Promise.resolve(
        encodeSft(
          model.tokenizer,
          wanted(rows, "chosen completions", "no pair was made").map((record) => ({
            record,
            name: record.id,
          })),
          { maxLength: model.longestRow(max_length), overlong },
        ),
      ),
  });
}
