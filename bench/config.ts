// A Hugging Face config.json as a model of random weights: what every bench and every peer is given.
import { readJson } from "../src/files";
import { parseModelConfig } from "../src/checkpoint/huggingface";
import { nativeAddon, type Device, type DType, type LoraConfig, type ModelConfig, type NativeModel } from "../src/native";

export async function readConfig(path: string): Promise<ModelConfig> {
  return parseModelConfig((await readJson(path)) as Record<string, unknown>, path);
}

export interface ModelSetup {
  device: Device;
  dtype: DType;
  /** Of the CPU; 0 on another device. */
  threads: number;
}

export async function randomModel(
  config: ModelConfig, { device, dtype, threads }: ModelSetup, lora: LoraConfig | null = null,
): Promise<NativeModel> {
  const model = new (nativeAddon().Model)(config, {
    device, dtype, threads: device === "cpu" ? threads : 0, masters: true, lora,
  });
  await model.initialize(0, 0.02);
  return model;
}

/** The same token ids for every run: content does not change the speed, but an id out of range would. */
export function tokenIds(count: number, vocabSize: number): number[] {
  return Array.from({ length: count }, (_, index) => (index * 7919 + 13) % vocabSize);
}
