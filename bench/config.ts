// A Hugging Face config.json as a model of random weights: what every bench and every peer is given.
import { readJson } from "../src/files";
import { parseModelConfig } from "../src/checkpoint/huggingface";
import { nativeAddon, type DType, type ModelConfig, type NativeModel } from "../src/native";

export async function readConfig(path: string): Promise<ModelConfig> {
  return parseModelConfig((await readJson(path)) as Record<string, unknown>, path);
}

export async function randomModel(config: ModelConfig, dtype: DType, threads: number): Promise<NativeModel> {
  const model = new (nativeAddon().Model)(config, { device: "cpu", dtype, threads, masters: true });
  await model.initialize(0, 0.02);
  return model;
}

/** The same token ids for every run: content does not change the speed, but an id out of range would. */
export function tokenIds(count: number, vocabSize: number): number[] {
  return Array.from({ length: count }, (_, index) => (index * 7919 + 13) % vocabSize);
}
