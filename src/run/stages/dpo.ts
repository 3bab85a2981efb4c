// Stage: preference optimization of a model on pairs. The reference is the model itself as it was; its
// log-probabilities are written beside the pairs. It does NOT make pairs.
import { join } from "node:path";
import { writeJsonl } from "../../data/jsonl";
import type { PreferencePair } from "../../data/records";
import { trainingWork } from "../../plan/work";
import { dpo } from "../../train/dpo";
import type { ReferenceLogps } from "../../train/reference";
import type { DpoEvent } from "../../train/events";
import type { RunContext } from "../context";
import { effectiveTraining } from "../effective";
import type { RunEvent, StageEvent } from "../events";
import type { ModelRef } from "../model-ref";
import type { StageResult } from "../store";
import { PAIRS_FILE } from "./pairs";
import { encodePreferences, readOwn } from "./rows";
import { audit, follow, MODEL_DIRECTORY, openTrained, saveTrained, trainingControl } from "./train";

/** The events, with the reference's scores taken out on their way. */
async function* notingReference(
  events: AsyncGenerator<DpoEvent, void>,
  noted: { reference?: ReferenceLogps },
): AsyncGenerator<DpoEvent, void> {
  for await (const event of events) {
    if (event.type === "reference_logps") noted.reference = event;
    yield event;
  }
}

/**
 * The pairs with what the reference gave them, in the order they were encoded in; a dropped pair has none.
 */
function withReference(
  pairs: readonly PreferencePair[],
  dropped: readonly string[],
  reference: ReferenceLogps | undefined,
): PreferencePair[] {
  if (reference === undefined || dropped.length > 0) return [...pairs];
  return pairs.map((pair, index) => ({
    ...pair,
    ref_chosen_logps: reference.chosen[index]!,
    ref_rejected_logps: reference.rejected[index]!,
  }));
}

async function* compute(
  context: RunContext,
  name: string,
  from: ModelRef,
  pairsFile: string,
  seed: number,
  work: string,
): AsyncGenerator<StageEvent, void> {
  const model = await openTrained(context, from, trainingWork("dpo", context.config.dpo));
  try {
    const pairs = await readOwn<PreferencePair>(pairsFile);
    const encoded = encodePreferences(model, pairs, context.config);
    yield* audit(context.config.audit, name, work, model, encoded.examples);
    const options = { ...effectiveTraining(context.config.dpo), seed };
    const noted: { reference?: ReferenceLogps } = {};
    const events = notingReference(dpo(model, encoded, options, trainingControl(context.control, work)), noted);
    const counts = yield* follow(events, name, work, encoded.examples.length);
    await writeJsonl(
      join(work, PAIRS_FILE),
      withReference(pairs, encoded.dropped, noted.reference),
    );
    await saveTrained(model, work, {
      ...counts,
      dropped: encoded.dropped.length,
      truncated: encoded.truncated,
    });
  } finally {
    model.dispose();
  }
}

/** `pairs`: some at least. */
export async function* dpoStage(
  context: RunContext,
  name: string,
  from: ModelRef,
  pairs: StageResult,
): AsyncGenerator<RunEvent, ModelRef> {
  const seed = context.seed(name);
  const spec = {
    name,
    options: { dpo: context.config.dpo, seed, audit: context.config.audit, model: context.phaseKey },
    inputs: { model: from.key, pairs: pairs.key },
  };
  const pairsFile = join(pairs.directory, PAIRS_FILE);
  const result = yield* context.stage(spec, (work) => compute(context, name, from, pairsFile, seed, work));
  return { key: result.key, directory: join(result.directory, MODEL_DIRECTORY), stage: result.directory };
}
