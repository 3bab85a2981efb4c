// Times the training step: SFT on packed rows, or DPO on pairs with a shared prompt and cached reference log-probs.
// A round is one optimizer step (forward, backward, clipping, AdamW); between rounds the machine's peak is sampled.
import { packPairs, packSft, type MicroBatch } from "../src/data/packing";
import { TARGET_MODULES } from "../src/config/options";
import { TrainingSession } from "../src/train/session";
import type { BatchSize, ModelConfig, NativeModel } from "../src/native";
import { randomModel, readConfig, tokenIds, type ModelSetup } from "./config";
import { adapterFlops, forwardFlops } from "./flops";
import type { Machine } from "./machine";

export interface TrainBenchOptions extends ModelSetup {
  config: string;
  mode: "sft" | "dpo";
  /** Sequences of SFT, or pairs. */
  batch: number;
  /** Tokens of a sequence. */
  length: number;
  /** Of these, tokens of the prompt, which are not scored. */
  prompt: number;
  microBatchTokens: number;
  /** Rank of adapters on all projections, trained instead of the weights. */
  loraR?: number | undefined;
}

export interface TrainRound {
  tokens_per_second: number;
  step_ms: number;
  flops_per_second: number;
  /** Of the machine's rate of this dtype, sampled just before the step. */
  gemm_peak_fraction: number;
  pairs_per_second?: number;
  loss: number;
}

/** What the work of a step is, for any implementation of it. */
function usefulFlops(config: ModelConfig, options: TrainBenchOptions): number {
  const { mode, batch, length, prompt, loraR: r } = options;
  const sequences = mode === "dpo" ? 2 * batch : batch;
  const forward = forwardFlops(config, length / 2, (length - prompt) / length);
  if (r === undefined) return 3 * sequences * length * forward;
  // Frozen weights have no gradient; attention is differentiated by two products for each of its own all the same.
  const attention = forward - forwardFlops(config, 0, (length - prompt) / length);
  return sequences * length * (2 * forward + attention + 3 * adapterFlops(config, r));
}

function batchesOf(config: ModelConfig, options: TrainBenchOptions): MicroBatch[] {
  const ids = tokenIds(options.length + 1, config.vocabSize);
  const promptIds = ids.slice(0, Math.max(1, options.prompt + 1));
  const rest = ids.slice(promptIds.length);
  const many = <T>(item: T) => Array.from({ length: options.batch }, () => item);
  return options.mode === "sft"
    ? packSft(many({ promptIds, completionIds: rest }), options.microBatchTokens)
    : packPairs(many({ promptIds, chosenIds: rest, rejectedIds: [...rest].reverse() }), options.microBatchTokens);
}

export class TrainBench {
  private step = 0;

  private constructor(
    readonly options: TrainBenchOptions,
    private readonly config: ModelConfig,
    private readonly model: NativeModel,
    private readonly session: TrainingSession,
    private readonly batches: readonly MicroBatch[],
    private readonly machine: Machine,
  ) {}

  static async open(options: TrainBenchOptions, machine: Machine): Promise<TrainBench> {
    const config = await readConfig(options.config);
    const { loraR: r } = options;
    const lora = r === undefined ? null : { r, scale: 1, targetModules: [...TARGET_MODULES] };
    const model = await randomModel(config, options, lora);
    if (lora) await model.initializeAdapter(0);
    const tokens = options.microBatchTokens;
    const session = new TrainingSession({ native: model }, {
      maxTokens: tokens, maxSegments: tokens, maxSequences: tokens, training: true,
    });
    return new TrainBench(options, config, model, session, batchesOf(config, options), machine);
  }

  memory(): number {
    return [...this.model.memory(), ...this.session.memory()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  private async accumulate(): Promise<number> {
    let loss = 0;
    const pairs = this.options.batch;
    const preference = {
      loss: "sigmoid" as const, lengthNormalize: false, beta: 0.1, labelSmoothing: 0, pairWeight: 1 / pairs, nllWeight: 0,
    };
    const step = (size: BatchSize): Promise<{ loss: number }> =>
      this.options.mode === "sft" ? this.session.sft(size) : this.session.dpo(size, preference);
    for await (const { result } of this.session.inTurn(this.batches, step)) loss += result.loss;
    return loss;
  }

  async round(): Promise<TrainRound> {
    const peak = this.machine.peak(this.options.dtype);
    const started = performance.now();
    const loss = await this.accumulate();
    await this.session.update({
      learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, maxGradNorm: 1, step: ++this.step,
      seed: 0,
    });
    this.model.parameterView("model.norm.weight"); // waits: a GPU may still be at it
    const seconds = (performance.now() - started) / 1000;
    const { mode, batch, length } = this.options;
    const flops = usefulFlops(this.config, this.options) / seconds;
    return {
      tokens_per_second: ((mode === "dpo" ? 2 : 1) * batch * length) / seconds,
      step_ms: seconds * 1000,
      flops_per_second: flops,
      gemm_peak_fraction: flops / peak,
      loss,
      ...(mode === "dpo" ? { pairs_per_second: batch / seconds } : {}),
    };
  }

  close(): void {
    this.session.dispose();
    this.model.dispose();
  }
}
