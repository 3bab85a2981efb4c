// A native sampler run to its end, results as plain arrays in the order of prompts and samples.
import { nativeAddon, type GenerationOptions, type NativeModel, type NativeSampler, type SamplerCapacity } from "../../../src/native";

export interface TestPrompt {
  tokens: readonly number[];
  /** Its number in the random numbers' key; default: its place. */
  number?: number;
  samples?: number;
}

export interface TestSample {
  prompt: number;
  sample: number;
  tokens: number[];
  logps: number[];
  finishReason: "stop" | "length";
}

export const generation = (options: Partial<GenerationOptions> = {}): GenerationOptions => ({
  seed: 5n, temperature: 1, topK: 0, topP: 1, minP: 0, maxNewTokens: 12, stopTokenIds: [], stopStrings: [], ...options,
});

export const capacity = (given: Partial<SamplerCapacity> = {}): SamplerCapacity =>
  ({ maxBatch: 8, maxLength: 64, maxPrefillTokens: 64, cacheTokens: 1024, ...given });

export async function drain(sampler: NativeSampler, stepsPerCall = 3): Promise<TestSample[]> {
  const samples: TestSample[] = [];
  for (let pending = 1; pending > 0;) {
    const result = await sampler.run(stepsPerCall);
    pending = result.pending;
    samples.push(...result.finished.map((one) => (
      { ...one, tokens: [...new Int32Array(one.tokens)], logps: [...new Float32Array(one.logps)] })));
  }
  return samples.sort((a, b) => a.prompt - b.prompt || a.sample - b.sample);
}

export async function generate(
  model: NativeModel, prompts: readonly TestPrompt[], options: Partial<GenerationOptions> = {},
  room: Partial<SamplerCapacity> = {},
): Promise<TestSample[]> {
  const sampler = new (nativeAddon().Sampler)(model, capacity(room));
  try {
    sampler.begin(generation(options));
    prompts.forEach(({ tokens, number, samples = 1 }, place) =>
      sampler.submit(number ?? place, Int32Array.from(tokens), samples));
    return await drain(sampler);
  } finally {
    sampler.dispose();
  }
}
