// PEFT's adapter directories as plans: adapter_config.json, and which bytes of adapter_model.safetensors are which rows
// of which adapter. What PEFT can do and the engine does not is refused by name, for an adapter that is half understood
// computes another model. It does NOT read or write weights, nor find a base model's files.
import { join } from "node:path";
import { TARGET_MODULES, type LoraOptions, type TargetModule } from "../config/options";
import { fail } from "../errors";
import { readJson, writeFileAtomic } from "../files";
import type { DType, LoraConfig, ModelConfig } from "../native";
import { fileExists, isObject } from "../text/tokenizer-files";
import { writeBase, type BaseModel } from "./adapter-base";
import { planTensors, planTensorWrite, type FilePlan, type WritePlan } from "./huggingface";
import { type CheckpointEntry, checkpointEntries } from "./parameters";

export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";

export interface AdapterConfig {
  lora: LoraOptions;
  /** base_model_name_or_path, as it stands in the file: PEFT writes a name or a path. */
  base: string | null;
  /** Dropout it was trained with: none is applied here. */
  dropout: number;
  /** adapter_config.json as it stands. */
  source: Readonly<Record<string, unknown>>;
}

/** What every output of an adapter is multiplied by; with rsLoRA (Kalajdzievski 2023) it falls with the root of r. */
export function scaleOf({ r, lora_alpha: alpha, use_rslora: rank }: LoraOptions): number {
  return alpha / (rank ? Math.sqrt(r) : r);
}

export function nativeLora(lora: LoraOptions): LoraConfig {
  return { r: lora.r, scale: scaleOf(lora), targetModules: [...lora.target_modules] };
}

/** True for a directory with an adapter and no model of its own. */
export async function isAdapterDirectory(directory: string): Promise<boolean> {
  if (!(await fileExists(join(directory, ADAPTER_CONFIG)))) return false;
  const own = await Promise.all(["model.safetensors", "model.safetensors.index.json"].map((name) =>
    fileExists(join(directory, name))));
  return !own.includes(true);
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === false
  || (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);

/** Keys of adapter_config.json that change what an adapter computes, unless they are empty. */
const UNSUPPORTED: readonly string[] = [
  "modules_to_save", "rank_pattern", "alpha_pattern", "layers_to_transform", "fan_in_fan_out", "layer_replication",
  "lora_bias", "exclude_modules", "trainable_token_indices", "target_parameters", "alora_invocation_tokens",
];

/** So are named the variants of LoRA that PEFT has, and will have. */
const VARIANT = /^use_|_config$/;
/** But this one is read, and that one is over once an adapter is made. */
const NO_VARIANT: readonly string[] = ["use_rslora", "eva_config"];

const isUnsupported = (key: string): boolean =>
  UNSUPPORTED.includes(key) || (VARIANT.test(key) && !NO_VARIANT.includes(key));

/** Ways to begin that change the base's weights too, so that the adapter fits no other. */
const CHANGES_BASE = /^(pissa|olora|corda|loftq|lora_ga)/;

function refuse(path: string, what: string): never {
  return fail("ERR_UNSUPPORTED", `${path}: ${what}; merge the adapter into its base model with PEFT first`, { path });
}

function checkSupported(path: string, json: Readonly<Record<string, unknown>>): void {
  const { peft_type: type, task_type: task, bias = "none", init_lora_weights: init } = json;
  if (type !== "LORA") refuse(path, `peft_type is ${JSON.stringify(type)}, only "LORA" is read`);
  if (task !== undefined && task !== null && task !== "CAUSAL_LM") {
    refuse(path, `task_type is ${JSON.stringify(task)}, only "CAUSAL_LM" is read`);
  }
  if (bias !== "none") refuse(path, `bias is ${JSON.stringify(bias)}, only "none" is read`);
  if (typeof init === "string" && CHANGES_BASE.test(init)) refuse(path, `init_lora_weights "${init}" changed the base`);
  const strange = Object.keys(json).filter((key) => isUnsupported(key) && !isEmpty(json[key]));
  if (strange.length > 0) refuse(path, `${strange.join(", ")} ${strange.length > 1 ? "are" : "is"} not supported`);
}

function numberOf(path: string, json: Readonly<Record<string, unknown>>, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  return typeof value === "number" && Number.isFinite(value)
    ? value
    : fail("ERR_CHECKPOINT", `${path}: ${key} is ${JSON.stringify(value)}, a number was expected`, { path, key });
}

/** q_proj, self_attn.q_proj, or model.layers.0.self_attn.q_proj, as PEFT writes what all-linear stood for. */
const TARGET = /^(?:model\.layers\.(\d+)\.)?(?:self_attn\.|mlp\.)?(\w+)$/;

/** The target modules, which are those of all layers or of none: PEFT's reader finds a layer's names by their ends. */
function targetsOf(path: string, value: unknown): TargetModule[] {
  if (value === "all-linear") return [...TARGET_MODULES];
  if (!Array.isArray(value) || value.length === 0) {
    return refuse(path, `target_modules is ${JSON.stringify(value)}, a list of names is read`);
  }
  const layers = new Map<string, Set<string>>();
  const strange = value.filter((name) => {
    const [, layer = "all", module = ""] = TARGET.exec(String(name)) ?? [];
    layers.set(module, (layers.get(module) ?? new Set()).add(layer));
    return !TARGET_MODULES.includes(module as TargetModule);
  });
  if (strange.length > 0) {
    refuse(path, `target_modules has ${strange.map((name) => JSON.stringify(name)).join(", ")}, read are `
      + TARGET_MODULES.join(", "));
  }
  const most = Math.max(...[...layers.values()].map(({ size }) => size));
  const partial = [...layers].find(([, { size }]) => size < most);
  if (partial && !partial[1].has("all")) refuse(path, `target_modules has ${partial[0]} of some layers only`);
  return TARGET_MODULES.filter((name) => layers.has(name));
}

/** @throws ERR_IO; ERR_UNSUPPORTED naming what the engine does not do; ERR_CHECKPOINT naming file and key */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const path = join(directory, ADAPTER_CONFIG);
  const json = await readJson(path);
  if (!isObject(json)) return fail("ERR_CHECKPOINT", `${path}: a JSON object was expected`, { path });
  checkSupported(path, json);
  const r = numberOf(path, json, "r");
  if (!Number.isInteger(r) || r < 1) fail("ERR_CHECKPOINT", `${path}: r is ${r}, an integer from 1 was expected`, { path });
  const lora_alpha = numberOf(path, json, "lora_alpha");
  if (!(lora_alpha > 0)) fail("ERR_CHECKPOINT", `${path}: lora_alpha is ${lora_alpha}, more than 0 was expected`, { path });
  const base = json["base_model_name_or_path"];
  const lora = {
    r, lora_alpha, use_rslora: json["use_rslora"] === true, target_modules: targetsOf(path, json["target_modules"]),
  };
  const dropout = numberOf(path, json, "lora_dropout", 0);
  return { lora, base: typeof base === "string" && base !== "" ? base : null, dropout, source: { ...json } };
}

/** To call before training. @throws ERR_UNSUPPORTED */
export function expectNoDropout(dropout: number): void {
  if (dropout === 0) return;
  fail("ERR_UNSUPPORTED", `${ADAPTER_CONFIG}: lora_dropout is ${dropout}, and none is applied in training; set it to 0 `
    + "there to train on without", { option: "lora_dropout" });
}

/** All tensors of an adapter, in PEFT's names; rows of one rank are side by side where ours are fused. */
export function adapterEntries(config: ModelConfig, { r, target_modules: targets }: LoraOptions): CheckpointEntry[] {
  const filled = new Map<string, { ranks: number; rows: number }>();
  return checkpointEntries(config).flatMap(({ hfName, shape, parameter, ropeHead }) => {
    const module = /\.(\w+_proj)\.weight$/.exec(hfName)?.[1];
    if (!targets.includes(module as TargetModule)) return [];
    const [rows, columns] = shape as [number, number];
    const at = filled.get(parameter) ?? { ranks: 0, rows: 0 };
    filled.set(parameter, { ranks: at.ranks + r, rows: at.rows + rows });
    const theirs = `base_model.model.${hfName.slice(0, -".weight".length)}`;
    const ours = parameter.slice(0, -".weight".length);
    return [
      { hfName: `${theirs}.lora_A.weight`, shape: [r, columns], parameter: `${ours}.lora_A.weight`,
        rowOffset: at.ranks, ropeHead: 0 },
      { hfName: `${theirs}.lora_B.weight`, shape: [rows, r], parameter: `${ours}.lora_B.weight`,
        rowOffset: at.rows, ropeHead },
    ];
  });
}

/**
 * Plans the reading of an adapter onto a model of this config.
 * @throws ERR_IO; ERR_UNSUPPORTED; ERR_CHECKPOINT naming each missing, unexpected or misshapen tensor
 */
export async function planAdapterRead(directory: string, config: ModelConfig, lora: LoraOptions): Promise<FilePlan> {
  const path = join(directory, ADAPTER_WEIGHTS);
  if (!(await fileExists(path))) {
    const old = await fileExists(join(directory, "adapter_model.bin"));
    fail("ERR_CHECKPOINT", `${directory}: ${ADAPTER_WEIGHTS} is not there; `
      + (old ? "adapter_model.bin is not read, save the adapter with safetensors first" : "a PEFT adapter was expected"),
    { path: directory });
  }
  return { path, entries: await planTensors(path, adapterEntries(config, lora), config) };
}

/** Plans one adapter_model.safetensors. */
export function planAdapterWrite(config: ModelConfig, lora: LoraOptions, dtype: DType): WritePlan {
  return planTensorWrite(adapterEntries(config, lora), config, dtype);
}

/**
 * Writes adapter_config.json and where the base model is into `directory`, whose files will lie at `location`.
 * @throws ERR_IO
 */
export async function writeAdapterConfig(
  directory: string, { lora, base, dropout, source }: Omit<AdapterConfig, "base"> & { base: BaseModel }, location: string,
): Promise<void> {
  const isSame = source["base_model_name_or_path"] === base.name;
  const json = {
    ...source, peft_type: "LORA", task_type: "CAUSAL_LM",
    base_model_name_or_path: base.name, revision: base.revision ?? (isSame ? source["revision"] : null) ?? null,
    r: lora.r, lora_alpha: lora.lora_alpha, use_rslora: lora.use_rslora, target_modules: [...lora.target_modules],
    lora_dropout: dropout, bias: "none", fan_in_fan_out: false, inference_mode: true, modules_to_save: null,
    init_lora_weights: true,
  };
  await writeFileAtomic(join(directory, ADAPTER_CONFIG), `${JSON.stringify(json, null, 2)}\n`);
  await writeBase(directory, base, location);
}
