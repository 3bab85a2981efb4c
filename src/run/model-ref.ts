// A model on disk as stages and verbs pass it on: where it is and what stands for its bytes. It does NOT load models.
import { extname } from "node:path";
import { findBase } from "../checkpoint/adapter-base";
import { isAdapterDirectory, readAdapterConfig } from "../checkpoint/peft";
import { hashJson } from "../files";
import { pathKey } from "./store";

export interface ModelRef {
  /** Key of the stage that made it, or hash of its files. */
  key: string;
  /** Hugging Face directory, or PEFT adapter. */
  directory: string;
  /** Of an adapter: its base model, if not where the adapter says. */
  base?: string;
  /** Directory of the stage that made it, with its log; absent for a model that was there before. */
  stage?: string;
}

/** What opening it takes besides its directory. */
export const baseOf = ({ base }: Pick<ModelRef, "base">): { base_model?: string } =>
  base === undefined ? {} : { base_model: base };

/** Where the weights at a path lie: those of an adapter with its base model. @throws ERR_IO, ERR_UNSUPPORTED */
export async function weightsAt(path: string, base?: string): Promise<string> {
  if (extname(path) === ".bin" || !(await isAdapterDirectory(path))) return path;
  return (await findBase(path, (await readAdapterConfig(path)).base, base)).path;
}

/** The folder of a model's tokenizer: of an adapter that of its base model, but a llama2.c file has none. */
export async function tokenizerAt({ directory, base }: Pick<ModelRef, "directory" | "base">): Promise<string> {
  const weights = await weightsAt(directory, base);
  return extname(weights) === ".bin" ? directory : weights;
}

/** A hash that stands for the bytes of a model: of an adapter, for those of its base model too. @throws ERR_IO */
export async function modelKey(path: string, base?: string): Promise<string> {
  const weights = await weightsAt(path, base);
  return weights === path ? pathKey(path) : hashJson([await pathKey(path), await pathKey(weights)]);
}
