// plan(): the peak memory of a training or a sampling by arena, before anything is allocated, and the largest batch
// that fits. For any device, whether this machine has it or not. It does NOT read weights.
import { stat } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { findBase } from "../checkpoint/adapter-base";
import { readConfig } from "../checkpoint/huggingface";
import { readLlama2c } from "../checkpoint/llama2c";
import { isAdapterDirectory, nativeLora, readAdapterConfig } from "../checkpoint/peft";
import { modelRules, planRules } from "../config/effects";
import {
  loraOptions, modelOptions, planOptions, type LoraOptions, type ModelOptions, type PlanOptions,
} from "../config/options";
import { parseOptions, type EffectRule } from "../config/parse";
import { fail } from "../errors";
import { expectPath } from "../files";
import { expectStatesOfAdapters, nativeOptionsOf, resolveDevice } from "../model";
import { nativeAddon, type Device, type ModelConfig } from "../native";
import { deviceBytes, isOnDevice, largestFitting, plannedRows } from "./memory";
import { samplingJob, trainingWork, type PlannedJob } from "./work";

const schema = modelOptions.extend(planOptions.shape);
const rules = [...modelRules, ...planRules] as unknown as readonly EffectRule<ModelOptions & PlanOptions>[];

export interface PlannedArena {
  arena: string;
  bytes: number;
  /** In the host's memory, where the device has one of its own. */
  host: boolean;
}

export interface MemoryPlan {
  mode: PlanOptions["mode"];
  device: Device;
  dtype: ModelOptions["dtype"];
  optim_states: ModelOptions["optim_states"];
  /** Of each sample, as planned: the defaults shrink with the model's positions. Null when training. */
  prompt_length: number | null;
  max_new_tokens: number | null;
  /** Exact, but for "work areas": those of full micro-batches, and on a GPU a bound. */
  arenas: PlannedArena[];
  /** Sums, on the device and beside it. */
  device_bytes: number;
  host_bytes: number;
  /** What may be taken: as given, or what is free on the device now; null where the device is not here. */
  available_bytes: number | null;
  fits: boolean | null;
  /** The option that decides, as planned, and its largest value that fits (0: none does). */
  option: PlannedJob["option"];
  value: number;
  largest: number | null;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40,
};

/** "139GiB", "80 GB", "17179869184" in bytes. @throws ERR_CONFIG */
export function parseBytes(text: string): number {
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  const unit = UNITS[(match?.[2] ?? "?").toUpperCase()];
  if (!match || unit === undefined) {
    fail("ERR_CONFIG", `\`memory\` is ${JSON.stringify(text)}, wanted a number of bytes such as 139GiB, 80GB or 8589934592`,
      { option: "memory" });
  }
  const bytes = Math.floor(Number(match[1]) * unit);
  if (!Number.isSafeInteger(bytes)) {
    fail("ERR_CONFIG", `\`memory\` is ${text.slice(0, 60)}: more bytes than can be counted`, { option: "memory" });
  }
  return bytes;
}

/** Defaults fit the model: one takes at most what the other leaves, completions half where neither was given. */
function sampledLengths(given: Partial<PlanOptions>, options: PlanOptions, positions: number):
Pick<PlanOptions, "prompt_length" | "max_new_tokens"> {
  const atMost = (wanted: number, room: number): number => (room < 1 ? wanted : Math.min(wanted, room));
  const left = given.prompt_length === undefined ? positions >> 1 : positions - given.prompt_length;
  const completion = given.max_new_tokens ?? atMost(options.max_new_tokens, left);
  return {
    prompt_length: given.prompt_length ?? atMost(options.prompt_length, positions - completion),
    max_new_tokens: completion,
  };
}

/** The job, and how long its samples are. */
function jobOf(given: Partial<PlanOptions>, parsed: PlanOptions, config: ModelConfig):
Pick<MemoryPlan, "prompt_length" | "max_new_tokens"> & { job: PlannedJob } {
  if (parsed.mode !== "sample") {
    return { job: trainingWork(parsed.mode, parsed)(config), prompt_length: null, max_new_tokens: null };
  }
  const positions = config.maxPositionEmbeddings;
  const lengths = sampledLengths(given, parsed, positions);
  const { prompt_length, max_new_tokens } = lengths;
  if (prompt_length + max_new_tokens > positions) {
    fail("ERR_CONFIG", `\`prompt_length\` ${prompt_length} and \`max_new_tokens\` ${max_new_tokens} are more `
      + `together than the model's ${positions} positions`, { option: "prompt_length" });
  }
  return { job: samplingJob(parsed.max_batch, prompt_length, max_new_tokens), ...lengths };
}

function available(device: Device): number | null {
  try {
    return nativeAddon().availableBytes(device);
  } catch {
    return null; // a device that is not here can be planned for all the same
  }
}

/** Options of a plan, and of fresh adapters if it is they that are trained. */
export type PlanGiven = Partial<ModelOptions & PlanOptions> & { lora?: Pick<LoraOptions, "r"> & Partial<LoraOptions> };

/** The same of a model's config. @throws ERR_CONFIG, ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY past 2^63 bytes */
export function planFor(config: ModelConfig, { lora, ...given }: PlanGiven = {}): MemoryPlan {
  const options = parseOptions(schema, given, "plan", rules);
  const device = resolveDevice(options.device);
  if (lora) expectStatesOfAdapters(options);
  const native = nativeOptionsOf({
    ...options, device, ...(options.mode === "sample" ? { optim_states: options.dtype } : {}),
  }, lora ? nativeLora(parseOptions(loraOptions, lora, "lora")) : null);
  const { job, ...lengths } = jobOf(given, options, config);
  const rows = plannedRows(config, native, job.work(job.value));
  const bytes = deviceBytes(rows, device);
  const free = options.memory === undefined ? available(device) : parseBytes(options.memory);
  return {
    mode: options.mode,
    device,
    dtype: options.dtype,
    optim_states: options.optim_states,
    ...lengths,
    arenas: rows.map((row) => ({ arena: row.arena, bytes: row.bytes, host: !isOnDevice(row, device) })),
    device_bytes: bytes,
    host_bytes: rows.reduce((sum, row) => sum + row.bytes, 0) - bytes,
    available_bytes: free,
    fits: free === null ? null : bytes <= free,
    option: job.option,
    value: job.value,
    largest: free === null ? null : largestFitting(config, native, job, free),
  };
}

async function configAt(path: string): Promise<ModelConfig> {
  if (extname(path) === ".bin") return (await readLlama2c(path)).config;
  const isFile = (await stat(path).catch(() => undefined))?.isFile() ?? false;
  if (isFile && basename(path) !== "config.json") {
    fail("ERR_CONFIG", `${path}: wanted a model's directory, its config.json, or a llama2.c .bin file`, { path });
  }
  return (await readConfig(isFile ? dirname(path) : path)).config;
}

/** The model and the adapters at a path. */
async function modelAt(path: string, lora: PlanGiven["lora"], base?: string):
Promise<{ config: ModelConfig; lora?: NonNullable<PlanGiven["lora"]> }> {
  if (extname(path) === ".bin" || !(await isAdapterDirectory(path))) {
    if (base !== undefined) {
      fail("ERR_CONFIG", `\`base_model\` has no effect: ${path} is no adapter; leave it out`, { option: "base_model" });
    }
    return { config: await configAt(path), ...(lora ? { lora } : {}) };
  }
  if (lora) fail("ERR_CONFIG", `\`lora\` has no effect: ${path} is an adapter; leave it out`, { option: "lora" });
  const adapter = await readAdapterConfig(path);
  return { config: await configAt((await findBase(path, adapter.base, base)).path), lora: adapter.lora };
}

/**
 * Plans for a model: a Hugging Face directory, of which config.json is enough, that file, a PEFT adapter with its base
 * model (`base_model`: where that is, if not where the adapter says), or a llama2.c .bin file.
 * @throws ERR_IO, ERR_CHECKPOINT, ERR_UNSUPPORTED naming the file; and as planFor
 */
export async function plan(path: string, options: PlanGiven & { base_model?: string } = {}): Promise<MemoryPlan> {
  expectPath(path, "plan: path", "the directory of a model");
  const { lora: fresh, base_model: base, ...rest } = options;
  const { config, lora } = await modelAt(path, fresh, base);
  return planFor(config, { ...rest, ...(lora ? { lora } : {}) });
}
