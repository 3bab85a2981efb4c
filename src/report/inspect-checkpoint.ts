// What a checkpoint is: its dimensions, parameters and files, read without loading its weights. It does NOT
// check them.
import { extname } from "node:path";
import { checkpointEntries, modelConfigJson, planRead } from "../checkpoint/huggingface";
import { readLlama2c } from "../checkpoint/llama2c";
import { readAdapterConfig } from "../checkpoint/peft";
import { plural } from "./format";

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

/** A Hugging Face directory, or a llama2.c file, whose header is shown as the config.json it amounts to. */
export async function inspectCheckpoint(path: string): Promise<{ data: object; text: string }> {
  const isFile = extname(path) === ".bin";
  const plan = await (isFile ? readLlama2c(path) : planRead(path));
  const config = isFile ? modelConfigJson(plan.config, "float32") : plan.source;
  const entries = checkpointEntries(plan.config);
  const parameters = entries.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const shown = SHOWN.filter((key) => config[key] !== undefined).map((key) => [key, config[key]] as const);
  const files = plan.files.map((file) => file.path);
  return {
    data: { path, config, files, tensors: entries.length, parameters },
    text: [
      `${path}: ${parameters.toLocaleString("en-US")} parameters, ${plural(entries.length, "tensor")} in `
        + `${plural(files.length, "file")}`,
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
