// What a checkpoint is: its dimensions, parameters and files, read without loading its weights. It does NOT
// check them.
import { join } from "node:path";
import { readJson } from "../files";
import { planRead } from "../checkpoint/huggingface";
import { readAdapterConfig } from "../checkpoint/peft";
import { compact } from "./format";

const SHOWN = [
  "model_type",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "num_key_value_heads",
  "head_dim",
  "vocab_size",
  "max_position_embeddings",
  "rope_theta",
  "tie_word_embeddings",
  "torch_dtype",
  "dtype",
] as const;

export async function inspectCheckpoint(path: string): Promise<{ data: object; text: string }> {
  const config = (await readJson(join(path, "config.json"))) as Record<string, unknown>;
  const plan = await planRead(path);
  const tensors = plan.files.reduce((sum, { entries }) => sum + entries.length, 0);
  const shown = SHOWN.filter((key) => config[key] !== undefined).map((key) => [key, config[key]] as const);
  const files = plan.files.map((file) => file.path);
  return {
    data: { path, config, files, tensors },
    text: [
      `${path}: ${compact(tensors)} tensors in ${files.length} file${files.length === 1 ? "" : "s"}`,
      ...shown.map(([key, value]) => `  ${key.padEnd(26)} ${JSON.stringify(value)}`),
    ].join("\n"),
  };
}

/** A PEFT adapter's directory: its options and the base model it names. */
export async function inspectAdapter(path: string): Promise<{ data: object; text: string }> {
  const { lora, base, dropout } = await readAdapterConfig(path);
  const shown = { ...lora, lora_dropout: dropout, base_model_name_or_path: base };
  return {
    data: { path, adapter: shown },
    text: [
      `${path}: an adapter`,
      ...Object.entries(shown).map(([key, value]) => `  ${key.padEnd(26)} ${JSON.stringify(value)}`),
    ].join("\n"),
  };
}
