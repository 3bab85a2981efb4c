// What every stage of a run is given, and how a stage is run. It does NOT know any stage.
import { knownNames } from "../config/issues";
import { spellError } from "../config/names";
import { type RunConfig, runSchema } from "../config/run-options";
import type { LoraOptions, ModelOptions } from "../config/options";
import { fail, isSelfRefineError } from "../errors";
import { resolveDevice, untrained } from "../model";
import type { Device } from "../native";
import { deriveSeed } from "./derive-seed";
import type { RunEvent, StageEvent } from "./events";
import type { StageResult, StageSpec, StageStore } from "./store";

export interface RunControl {
  signal?: AbortSignal;
  /** Seconds of training between two checkpoints. Default 60. */
  checkpoint_seconds?: number;
  /** Compute every stage anew. */
  fresh?: boolean;
}

export class RunContext {
  /** Every stage this run used, in order. */
  readonly results: StageResult[] = [];

  constructor(
    readonly config: RunConfig,
    readonly store: StageStore,
    readonly control: RunControl,
  ) {}

  /** The seed of a stage. */
  seed(...names: readonly (string | number)[]): number {
    return deriveSeed(this.config.seed, ...names);
  }

  /** How to open a model to train it. */
  get modelOptions(): ModelOptions {
    return this.config.model;
  }

  /** How to open one to draw from it. */
  get samplingModelOptions(): ModelOptions {
    return untrained(this.config.model);
  }

  /**
   * What of the model's options decides results: threads do not. Devices round differently, so a stage belongs to the
   * device it was computed on: a run on another one computes its own. (A training by `sft` or `dpo`, whose checkpoint
   * names no device, may go on elsewhere.)
   */
  get modelKey(): { device: Device; dtype: ModelOptions["dtype"] } {
    const { device, dtype } = this.config.model;
    return { device: resolveDevice(device), dtype };
  }

  /** What of them decides the result of a training. */
  get trainingKey(): RunContext["modelKey"] & Partial<Pick<ModelOptions, "optim_states">> {
    const { optim_states } = this.config.model;
    return optim_states === "float32" ? this.modelKey : { ...this.modelKey, optim_states };
  }

  /** The same of a training of the method's two phases, which may be one of adapters. */
  get phaseKey(): RunContext["trainingKey"] & { lora?: LoraOptions & { seed: number } } {
    const { lora } = this.config;
    return lora ? { ...this.trainingKey, lora: { ...lora, seed: this.seed("lora") } } : this.trainingKey;
  }

  /** Runs a stage, or finds it done. */
  async *stage(
    spec: StageSpec,
    compute: (work: string) => AsyncGenerator<StageEvent, void>,
  ): AsyncGenerator<RunEvent, StageResult> {
    this.control.signal?.throwIfAborted();
    if (this.control.fresh && !this.results.some(({ key }) => key === this.store.key(spec)))
      await this.store.forget(spec);
    yield { type: "stage_begin", stage: spec.name, key: this.store.key(spec) };
    const result = yield* this.store.run<StageEvent>(spec, (work) => named(spec.name, compute(work)));
    this.results.push(result);
    yield { type: "stage_end", stage: spec.name, ...pick(result) };
    return result;
  }
}

/** Sections of a run file that stages take their options from, by how the stages' names begin. */
const SECTIONS: readonly (readonly [stage: string, section: readonly string[]])[] = [
  ["base", ["student", "from_scratch", "pretrain"]], ["demos", ["teacher"]], ["sft", ["sft"]], ["rejection", ["sft"]],
  ["sample", ["sample"]], ["dpo", ["dpo"]], ["eval", ["evaluation"]],
];

/** The key of an option in a run file; `name` is as the call behind the stage has it. */
function keyOf(stage: string, name: string): string | undefined {
  const path = name.split(".");
  if (path.length > 1 && knownNames(runSchema, path.slice(0, -1)).includes(path.at(-1)!)) return name;
  const option = path.at(-1)!;
  const own = SECTIONS.find(([begin]) => stage.startsWith(begin))?.[1];
  const section = [...(own ? [own] : []), ["model"]].find((one) => knownNames(runSchema, one).includes(option));
  return section && [...section, option].join(".");
}

/** A stage whose errors name options as the run file does. */
async function* named<T>(stage: string, events: AsyncGenerator<T, void>): AsyncGenerator<T, void> {
  try {
    yield* events;
  } catch (error) {
    throw isSelfRefineError(error) ? spellError(error, (name) => keyOf(stage, name)) : error;
  }
}

function pick({ key, directory, cached, seconds }: StageResult): Omit<StageResult, "name"> {
  return { key, directory, cached, seconds };
}

/** Records a stage made must not be empty for the next one. */
export function wanted<T>(records: readonly T[], what: string, remedy: string): readonly T[] {
  return records.length > 0 ? records : fail("ERR_DATA", `there are no ${what}: ${remedy}`);
}
