// The method in memory, for programs: instruction-tuning on demonstrations, then rounds of sampling, reward, pairs and
// DPO against the model each round began with. `selfrefine run` does the same in stages on disk, with evaluation.
// It does NOT read files or evaluate.
import type { DpoOptions, SftOptions } from "../config/options";
import { encodeSft } from "../data/encode";
import type { Demonstration, PreferencePair, Question, SampledPath } from "../data/records";
import { parseOptions } from "../config/parse";
import { sftRules } from "../config/effects";
import { sftOptions } from "../config/options";
import type { Model } from "../model";
import type { SampleProgressEvent } from "../sample/sample";
import type { Task } from "../tasks";
import { renderPrompt, type TemplateName } from "../text/templates";
import { dpo } from "../train/dpo";
import type { DpoEvent, SftEvent } from "../train/events";
import { sft } from "../train/sft";
import type { PairOptions } from "./options";
import { buildPairs } from "./pairs";
import { type PairReport, whyNoPairs } from "./report";
import { samplePaths, type SamplePathsOptions } from "./sample-paths";

export interface SelfRefineInput {
  task: Task;
  questions: readonly Question[];
  /** The teacher's. */
  demonstrations: readonly Demonstration[];
}

export interface SelfRefineOptions {
  /** How instruction and input become a prompt; default alpaca. */
  template?: TemplateName;
  sft?: Partial<SftOptions>;
  /** Default: 4 paths with the trigger and 1 without. */
  sample?: Partial<Omit<SamplePathsOptions, "template">>;
  pairs?: Partial<Omit<PairOptions, "iteration">>;
  dpo?: Partial<DpoOptions>;
  /** Rounds of the second phase; each begins from the last model, which is its reference. */
  iterations?: number;
}

/** DPO is not run, and no further round, which would draw the same. */
export interface NoPairsEvent {
  type: "warning";
  /** Why, in a sentence with the counts of `report`: questions all of whose samples are right, or wrong, and others. */
  message: string;
  report: PairReport;
}

export type SelfRefineEvent =
  | { stage: "sft"; event: SftEvent }
  | { stage: "sample"; iteration: number; event: SampleProgressEvent }
  | { stage: "pairs"; iteration: number; pairs: PreferencePair[]; report: PairReport }
  | { stage: "dpo"; iteration: number; event: DpoEvent | NoPairsEvent };

interface Control {
  signal?: AbortSignal;
}

async function* tune(
  model: Model, input: SelfRefineInput, options: SelfRefineOptions, control: Control,
): AsyncGenerator<SelfRefineEvent, void, undefined> {
  const parsed = parseOptions(sftOptions, options.sft, "sft", sftRules);
  const records = input.demonstrations.map(({ id, instruction, input: asked, output }) =>
    ({ record: { instruction, input: asked, output }, name: id }));
  const encoded = encodeSft(model.tokenizer, records, {
    template: options.template ?? "alpaca", maxLength: model.longestRow(parsed.max_length), overlong: parsed.overlong,
  });
  for await (const event of sft(model, encoded, options.sft, control)) yield { stage: "sft", event };
}

/** One round. @returns false where it found no pairs */
async function* refine(
  model: Model, input: SelfRefineInput, options: SelfRefineOptions, iteration: number, control: Control,
): AsyncGenerator<SelfRefineEvent, boolean, undefined> {
  const { task, questions, demonstrations } = input;
  const template = options.template ?? "alpaca";
  const asked = questions.map((question) => ({
    id: question.id, task: task.name, instruction: task.instruction(question), input: task.input(question),
  }));
  const paths: SampledPath[] = [];
  const sampling = { n_cot: 4, n_direct: 1, generation: {}, ...options.sample, template };
  for await (const event of samplePaths(model, asked, sampling, control)) {
    if (event.type === "path") paths.push(event.path);
    else yield { stage: "sample", iteration, event };
  }
  const { pairs, report } = buildPairs({
    task, questions, demonstrations, paths,
    renderPrompt: (parts, trigger) => renderPrompt(template, parts, { trigger, tokenizer: model.tokenizer }),
  }, { ...options.pairs, iteration });
  yield { stage: "pairs", iteration, pairs, report };
  if (pairs.length === 0) {
    yield { stage: "dpo", iteration, event: { type: "warning", message: whyNoPairs(report), report } };
    return false;
  }
  for await (const event of dpo(model, pairs, options.dpo, control)) yield { stage: "dpo", iteration, event };
  return true;
}

/**
 * Self-refine Instruction-tuning of `model`, in place (Ranaldi & Freitas 2024). A round that finds no pairs
 * is the last, with a warning that says why. A slow consumer holds the work back.
 * @throws what `sft`, `sample`, `buildPairs` and `dpo` throw; the signal's reason when aborted
 */
export async function* selfRefine(
  model: Model, input: SelfRefineInput, options: SelfRefineOptions = {}, control: Control = {},
): AsyncGenerator<SelfRefineEvent, void, undefined> {
  yield* tune(model, input, options, control);
  for (let iteration = 0; iteration < (options.iterations ?? 1); iteration++) {
    if (!(yield* refine(model, input, options, iteration, control))) return;
  }
}
