// Times decoding: a batch of prompts prefilled, then one token a sequence a step with the paged cache.
import type { DType, ModelConfig, NativeModel, NativeSampler } from "../src/native";
import { nativeAddon } from "../src/native";
import { randomModel, readConfig, tokenIds, type ModelSetup } from "./config";
import { forwardFlops } from "./flops";
import type { Machine } from "./machine";

export interface SampleBenchOptions extends ModelSetup {
  config: string;
  batch: number;
  /** Samples of each prompt; batch = prompts x samples. */
  samples: number;
  promptLength: number;
  newTokens: number;
  temperature: number;
}

export interface SampleRound {
  /** New tokens a second of decoding, prefill left out. */
  tokens_per_second: number;
  step_ms: number;
  prefill_ms: number;
  flops_per_second: number;
  /** Of the memory bandwidth that reading every weight once a step would take; the limit at batch 1. */
  weight_bandwidth_fraction: number;
  gemm_peak_fraction: number;
  /** The least time a step can take over the time it took: see floorSeconds(). */
  floor_fraction: number;
}

function weightBytes(model: NativeModel, dtype: DType): number {
  const elements = model.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return elements * (dtype === "float32" ? 4 : 2);
}

/**
 * A decode step at least reads the weights or does the arithmetic of its products, whichever takes longer, and reads
 * the keys and values of what each sequence attends to: of a shared prompt once for all its samples.
 */
function floorSeconds(
  model: NativeModel, config: ModelConfig, options: SampleBenchOptions, limits: { flops: number; bandwidth: number },
): number {
  const { batch, samples, promptLength, newTokens, dtype } = options;
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  const cached = 2 * numHiddenLayers * numKeyValueHeads * headDim * (dtype === "float32" ? 4 : 2);
  const positions = (batch / samples) * promptLength + batch * (newTokens / 2);
  const products = batch * forwardFlops(config, 0);
  return Math.max(weightBytes(model, dtype) / limits.bandwidth, products / limits.flops)
    + (positions * cached) / limits.bandwidth;
}

export class SampleBench {
  private constructor(
    readonly options: SampleBenchOptions,
    private readonly config: ModelConfig,
    private readonly model: NativeModel,
    private readonly sampler: NativeSampler,
    private readonly machine: Machine,
  ) {}

  static async open(options: SampleBenchOptions, machine: Machine): Promise<SampleBench> {
    const config = await readConfig(options.config);
    const model = await randomModel(config, options);
    const maxLength = options.promptLength + options.newTokens;
    const sampler = new (nativeAddon().Sampler)(model, {
      maxBatch: options.batch,
      maxLength,
      maxPrefillTokens: Math.max(1024, options.promptLength),
      cacheTokens: (options.batch + options.batch / options.samples) * (maxLength + 128),
    });
    return new SampleBench(options, config, model, sampler, machine);
  }

  memory(): number {
    return [...this.model.memory(), ...this.sampler.memory()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async round(): Promise<SampleRound> {
    const { options, config } = this;
    const peak = this.machine.peak(options.dtype);
    const bandwidth = this.machine.readBandwidth();
    const prompt = Int32Array.from(tokenIds(options.promptLength, config.vocabSize));
    this.sampler.begin({
      seed: 0n, temperature: options.temperature, topK: 0, topP: 1, minP: 0, maxNewTokens: options.newTokens,
      stopTokenIds: [], stopStrings: [],
    });
    for (let index = 0; index < options.batch / options.samples; index++) {
      this.sampler.submit(index, prompt, options.samples);
    }
    const started = performance.now();
    await this.sampler.run(1);
    const prefilled = performance.now();
    while ((await this.sampler.run(64)).pending > 0);
    const seconds = (performance.now() - prefilled) / 1000;
    this.sampler.end();
    const steps = options.newTokens - 1;
    const rate = (options.batch * steps) / seconds;
    const flops = rate * forwardFlops(config, options.promptLength + options.newTokens / 2);
    return {
      tokens_per_second: rate,
      step_ms: (seconds / steps) * 1000,
      prefill_ms: prefilled - started,
      flops_per_second: flops,
      weight_bandwidth_fraction: (weightBytes(this.model, options.dtype) * steps) / seconds / bandwidth,
      gemm_peak_fraction: flops / peak,
      floor_fraction: floorSeconds(this.model, config, options, { flops: peak, bandwidth }) / (seconds / steps),
    };
  }

  close(): void {
    this.sampler.dispose();
    this.model.dispose();
  }
}
