// The checkpoints of test/fixtures with what PyTorch computed from them; test/fixtures/README.md names every field.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { checkpointEntries, planRead } from "../../../src/checkpoint/huggingface";
import type { Device, ModelConfig, NativeModel } from "../../../src/native";
import { makeModel, type ModelSetup } from "./devices";

const root = resolve(__dirname, "../../fixtures");

export const variants = [
  "llama-tied", "llama-untied-llama3rope", "llama-linear-rope", "qwen2", "qwen3", "mistral-window",
] as const;
export const preferenceVariants = ["llama-tied", "qwen3"] as const;
export type Variant = (typeof variants)[number];

export interface PreferenceGolden {
  loss_type: string;
  beta: number;
  label_smoothing: number;
  alpha: number;
  loss: number;
}

/** Means over tokens, as TRL logs them. */
export interface MetricsGolden {
  tokens: number;
  entropy: number;
  mean_token_accuracy: number;
  logits: number;
}

export interface Golden {
  sequences: { tokens: number[]; prompt_length: number; targets: number[] }[];
  scored_tokens: number;
  loss: number;
  metrics: MetricsGolden;
  greedy: { prompt: number[]; tokens: number[] };
  dpo: {
    pairs: { prompt: number[]; chosen: number[]; rejected: number[] }[];
    logps: number[];
    reference_logps: number[];
    losses: Record<string, PreferenceGolden>;
    metrics: { chosen: MetricsGolden; rejected: MetricsGolden };
  };
  /** float32 arrays by name. */
  arrays: Map<string, Float32Array>;
}

function readArrays(path: string): Map<string, Float32Array> {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, { data_offsets: [number, number] }>;
  return new Map(Object.entries(header).filter(([name]) => name !== "__metadata__").map(([name, entry]) => {
    const [begin, end] = entry.data_offsets;
    return [name, new Float32Array(Uint8Array.from(bytes.subarray(start + begin, start + end)).buffer)];
  }));
}

export function readGolden(variant: Variant): Golden {
  const folder = join(root, variant);
  const scalars = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")) as Omit<Golden, "arrays">;
  return { ...scalars, arrays: readArrays(join(folder, "golden.safetensors")) };
}

export interface LoadedFixture {
  model: NativeModel;
  config: ModelConfig;
}

export async function loadFixture(variant: Variant, device: Device, setup: ModelSetup = {}): Promise<LoadedFixture> {
  const plan = await planRead(join(root, variant));
  const model = makeModel(plan.config, device, setup);
  for (const file of plan.files) await model.read(file.path, file.entries);
  return { model, config: plan.config };
}

/** The part of one of our gradients that belongs to a tensor of the checkpoint. */
export function checkpointGradients(
  config: ModelConfig, view: (parameter: string) => ArrayBuffer,
): Map<string, Float32Array> {
  return new Map(checkpointEntries(config).map(({ hfName, shape, parameter, rowOffset }) => {
    const columns = shape[1] ?? 1;
    const begin = rowOffset * columns;
    return [hfName, new Float32Array(view(parameter)).slice(begin, begin + (shape[0] as number) * columns)];
  }));
}
