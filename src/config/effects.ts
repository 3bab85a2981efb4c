// Which options need others to matter. Setting one where it would be ignored is an error, not silence.
import type { PairOptions } from "../refine/options";
import type { DpoOptions, GenerationOptions, ModelOptions, PlanOptions, SftOptions } from "./options";
import type { EffectRule } from "./parse";

type Training = Pick<
  SftOptions, "lr_scheduler_type" | "min_lr_ratio" | "warmup_ratio" | "max_steps" | "num_train_epochs"
>;

const afterWarmup = { hasEffect: (options: Training) => options.warmup_ratio < 1, because: "with `warmup_ratio` 1" };

const trainingRules: readonly EffectRule<Training>[] = [
  { option: "lr_scheduler_type", ...afterWarmup },
  { option: "min_lr_ratio", ...afterWarmup },
  {
    option: "min_lr_ratio",
    hasEffect: (options) => options.lr_scheduler_type !== "constant",
    because: "with `lr_scheduler_type` constant",
  },
  {
    option: "num_train_epochs",
    hasEffect: (options) => options.max_steps === 0,
    because: "with `max_steps`, which says how long to train",
  },
];

/** Kernels on a GPU, or its simulation: no threads of ours to choose. */
export const isGpu = (device: ModelOptions["device"]): boolean => device === "cuda" || device === "cuda-sim";

export const modelRules: readonly EffectRule<ModelOptions>[] = [
  {
    option: "optim_states",
    hasEffect: (options) => options.optim_states === "float32" || options.dtype === "bfloat16",
    because: "with `dtype` float32, whose weights are their own masters",
    instead: "choose `dtype` bfloat16 too, or leave it out",
  },
  {
    option: "threads",
    hasEffect: (options) => options.device !== "reference" || options.threads <= 1,
    because: "with `device` reference, which has one thread",
  },
  {
    option: "threads",
    hasEffect: (options) => !isGpu(options.device) || options.threads === 0,
    because: "on a GPU: threads are those of `device` cpu",
  },
];

export const sftRules = trainingRules as readonly EffectRule<SftOptions>[];

export const dpoRules: readonly EffectRule<DpoOptions>[] = [
  ...(trainingRules as readonly EffectRule<DpoOptions>[]),
  {
    option: "loss_type",
    hasEffect: (options) => options.loss_type !== "robust" || options.label_smoothing > 0,
    because: "as robust without `label_smoothing`, where it is sigmoid",
  },
  {
    option: "label_smoothing",
    hasEffect: (options) => options.label_smoothing === 0 || ["sigmoid", "robust"].includes(options.loss_type),
    because: "with `loss_type` hinge or ipo",
  },
  {
    option: "length_normalize",
    hasEffect: (options) => !options.length_normalize || options.loss_type !== "ipo",
    because: "with `loss_type` ipo, which always takes token means",
  },
];

const sampling = (options: GenerationOptions) => options.temperature > 0;
const whenGreedy = "with `temperature` 0, which is greedy";

export const generationRules: readonly EffectRule<GenerationOptions>[] = [
  { option: "top_k", hasEffect: sampling, because: whenGreedy },
  { option: "top_p", hasEffect: sampling, because: whenGreedy },
  { option: "min_p", hasEffect: sampling, because: whenGreedy },
  { option: "seed", hasEffect: sampling, because: whenGreedy },
  {
    option: "num_samples",
    hasEffect: (options) => sampling(options) || options.num_samples === 1,
    because: "with `temperature` 0: greedy samples are all the same",
  },
];

export const pairRules: readonly EffectRule<PairOptions>[] = [
  {
    option: "max_teacher_share",
    hasEffect: (options) => options.policy !== "correctness",
    because: "with `policy` correctness, which takes no chain of the teacher",
  },
];

const ofTraining = (options: Pick<PlanOptions, "mode">) => options.mode !== "sample";
const ofSampling = (options: Pick<PlanOptions, "mode">) => options.mode === "sample";

export const planRules: readonly EffectRule<PlanOptions & ModelOptions>[] = [
  ...(["micro_batch_tokens", "max_length", "optim_states"] as const).map((option) =>
    ({ option, hasEffect: ofTraining, because: "with `mode` sample" })),
  ...(["max_batch", "prompt_length", "max_new_tokens"] as const).map((option) =>
    ({ option, hasEffect: ofSampling, because: "with `mode` sft or dpo" })),
];
