// Stage: one model examined on one set of questions. It does NOT compare models.
import { join } from "node:path";
import { writeJsonl } from "../../data/jsonl";
import type { Prediction, SampledPath } from "../../data/records";
import { accuracyOf } from "../../evaluate/accuracy";
import { judge } from "../../evaluate/predict";
import { votedPrediction } from "../../evaluate/vote";
import { stableJson, writeFileAtomic } from "../../files";
import { Model } from "../../model";
import { groupById } from "../../refine/reward";
import type { RunContext } from "../context";
import { decisiveDecoding, effectiveDecoding } from "../effective";
import type { RunEvent } from "../events";
import { baseOf, type ModelRef } from "../model-ref";
import type { EvaluationSet } from "../questions";
import type { StageResult } from "../store";
import { asked, readOwn } from "./rows";
import { drawPaths } from "./sample";

export const PREDICTIONS_FILE = "predictions.jsonl";

/** One prediction a question: of its only completion, or of the vote among several. */
export function predictions(set: EvaluationSet, paths: readonly SampledPath[]): Prediction[] {
  const byId = groupById(paths);
  return set.questions.map((question) => {
    const own = byId.get(question.id) ?? [];
    const votes = own.map(({ prompt, completion }) => ({
      prompt,
      completion,
      answer: set.task.extract(completion, question),
    }));
    return votes.length > 1
      ? votedPrediction(set.task, question, set.domain, votes)
      : judge(set.task, question, set.domain, votes[0] ?? { prompt: "", completion: "" });
  });
}

export async function* evaluateStage(
  context: RunContext,
  name: string,
  from: ModelRef,
  set: EvaluationSet,
): AsyncGenerator<RunEvent, StageResult> {
  const { trigger, votes, ...decoding } = context.config.evaluation;
  // One seed for all models: with sampling, they are compared on the same draws.
  const seed = context.seed("evaluation");
  const spec = {
    name: `eval-${name}-${set.task.name}`,
    options: {
      evaluation: decisiveDecoding(context.config.evaluation),
      template: context.config.template,
      seed,
      domain: set.domain,
      model: context.modelKey,
    },
    inputs: { model: from.key, questions: set.key },
  };
  return yield* context.stage(spec, async function* (work) {
    const model = await Model.load(from.directory, { ...context.samplingModelOptions, ...baseOf(from) });
    try {
      const paths = yield* drawPaths(
        model,
        {
          stage: spec.name,
          questions: asked(set.task, set.questions),
          template: context.config.template,
          n_cot: trigger ? votes : 0,
          n_direct: trigger ? 0 : votes,
          generation: effectiveDecoding({ ...decoding, seed }),
          signal: context.control.signal,
        },
        work,
      );
      const judged = predictions(set, paths);
      await writeJsonl(join(work, PREDICTIONS_FILE), judged);
      await writeFileAtomic(join(work, "summary.json"), `${stableJson(accuracyOf(judged), 2)}\n`);
    } finally {
      model.dispose();
    }
  });
}

export async function readPredictions(result: StageResult): Promise<Prediction[]> {
  return readOwn<Prediction>(join(result.directory, PREDICTIONS_FILE));
}
