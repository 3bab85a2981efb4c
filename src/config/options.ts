// Every option of the package, once: types, defaults, bounds and one line of help. The TypeScript types, the command
// line's flags, the keys of a run file and their JSON Schema are all derived from here.
// Names are those of transformers and TRL. It does NOT know where an option came from or what is done with it.
import { z } from "zod";

const fraction = z.number().min(0).max(1);
const positive = z.number().positive();

/**
 * Upper bounds of counts, far above any use: a slip of the keyboard is an error that names the option, not a machine
 * that runs out of memory or never ends.
 */
export const MOST = {
  steps: 1_000_000_000, epochs: 1_000_000, rows: 1_000_000, tokens: 16_777_216, samples: 65_536, vocabulary: 1_048_576,
} as const;

/** An integer from 1, or from 0 where that stands for something of its own. */
export const count = (most: number) => z.number().int().min(1).max(most);
export const countOrNone = (most: number) => z.number().int().min(0).max(most);

/** 63 bits, so that a seed is exact in JavaScript's safe range and in the engine's key. */
const seed = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0)
  .describe("seed of every random choice; the same seed gives the same result, bit for bit");

export const modelOptions = z.strictObject({
  device: z.enum(["auto", "cuda", "cpu", "reference", "cuda-sim"]).default("auto")
    .describe("where to compute; auto takes an NVIDIA GPU (cuda) where one can be used, else the cpu; for tests: "
      + "reference, the slow truth, and cuda-sim, the GPU's code run by the cpu"),
  dtype: z.enum(["float32", "bfloat16"]).default("float32")
    .describe("storage of weights and activations"),
  optim_states: z.enum(["float32", "bfloat16"]).default("float32")
    .describe("AdamW's states with dtype bfloat16: float32 moments and masters of the weights, or bfloat16 moments alone, "
      + "weights and moments rounded stochastically; float32 weights are their own masters"),
  threads: countOrNone(1024).default(0).describe("threads of the cpu device; 0 = every processor it may use"),
});
export type ModelOptions = z.infer<typeof modelOptions>;

export const planOptions = z.strictObject({
  mode: z.enum(["sft", "dpo", "sample"]).default("sft").describe("what is to be done with the model"),
  micro_batch_tokens: count(MOST.tokens).default(4096).describe("sft, dpo: tokens of one forward pass"),
  max_length: count(MOST.tokens).default(1024).describe("sft, dpo: longest row in tokens, prompt and completion"),
  max_batch: count(MOST.samples).default(64).describe("sample: completions decoded together"),
  prompt_length: count(MOST.tokens).default(512).describe("sample: longest prompt in tokens; by default less where the model has fewer positions"),
  max_new_tokens: count(MOST.tokens).default(256).describe("sample: longest completion in tokens; by default less, likewise"),
  memory: z.string().optional()
    .describe("what may be taken, such as 139GiB or 80GB; default: what is free on the device now"),
});
export type PlanOptions = z.infer<typeof planOptions>;

/** The linear layers of a decoder that can have an adapter, in the order of a checkpoint. */
export const TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type TargetModule = (typeof TARGET_MODULES)[number];

/**
 * Names and meaning of PEFT's LoraConfig (Hu et al. 2021). All linear layers by default: Dettmers et al. 2023 (QLoRA)
 * find that it takes them all to match full fine-tuning.
 */
export const loraOptions = z.strictObject({
  r: count(4096).describe("train low-rank adapters of this rank (LoRA) and leave the weights as they are"),
  lora_alpha: positive.default(16).describe("an adapter counts lora_alpha / r times"),
  target_modules: z.array(z.enum(TARGET_MODULES)).min(1).default([...TARGET_MODULES])
    .describe("linear layers that have an adapter"),
  use_rslora: z.boolean().default(false)
    .describe("rank-stabilized: an adapter counts lora_alpha / sqrt(r) times (Kalajdzievski 2023)"),
});
export type LoraOptions = z.infer<typeof loraOptions>;

const optimizerShape = {
  batch_size: count(MOST.rows).default(32).describe("rows (sft) or pairs (dpo) of one optimizer step"),
  micro_batch_tokens: count(MOST.tokens).default(4096)
    .describe("tokens of one forward pass; a step accumulates as many passes as it needs, exactly"),
  max_steps: countOrNone(MOST.steps).default(0).describe("stop after so many optimizer steps; 0 = whole epochs"),
  lr_scheduler_type: z.enum(["cosine", "linear", "constant"]).default("cosine")
    .describe("learning rate after the warm-up"),
  warmup_ratio: fraction.default(0.03).describe("share of the steps in which the learning rate rises from 0"),
  min_lr_ratio: fraction.default(0).describe("share of the learning rate left at the end of a cosine or linear schedule"),
  weight_decay: z.number().min(0).default(0).describe("decoupled weight decay of matrices"),
  adam_beta1: z.number().min(0).lt(1).default(0.9).describe("AdamW: decay of the first moment"),
  adam_beta2: z.number().min(0).lt(1).default(0.999).describe("AdamW: decay of the second moment"),
  adam_epsilon: positive.default(1e-8).describe("AdamW: epsilon"),
  max_grad_norm: z.number().min(0).default(1).describe("clip the gradient to this global norm; 0 = off"),
  max_length: count(MOST.tokens).default(1024).describe("longest row in tokens, prompt and completion; never more than the model's positions"),
  overlong: z.enum(["error", "drop", "truncate"]).default("error").describe("what to do with a longer row"),
  seed,
};

export const sftOptions = z.strictObject({
  learning_rate: positive.default(2e-5).describe("peak learning rate"),
  num_train_epochs: count(MOST.epochs).default(3).describe("passes over the data"),
  completion_only_loss: z.boolean().default(true).describe("score the completion alone, not the prompt"),
  ...optimizerShape,
});
export type SftOptions = z.infer<typeof sftOptions>;

export const dpoOptions = z.strictObject({
  loss_type: z.enum(["sigmoid", "robust", "hinge", "ipo"]).default("sigmoid").describe("preference loss"),
  beta: positive.default(0.1).describe("strength of the tie to the reference model"),
  label_smoothing: z.number().min(0).lt(0.5).default(0)
    .describe("share of pairs taken to be labelled wrongly (sigmoid: cDPO; robust)"),
  length_normalize: z.boolean().default(false).describe("divide log-probabilities by the number of tokens"),
  reference: z.enum(["start", "base"]).default("start")
    .describe("what it is tied to: start, the model as training begins; base, a model with adapters without them"),
  rpo_alpha: z.number().min(0).default(0).describe("weight of an added NLL term on the chosen completions"),
  learning_rate: positive.default(1e-6).describe("peak learning rate"),
  num_train_epochs: count(MOST.epochs).default(1).describe("passes over the pairs"),
  ...optimizerShape,
});
export type DpoOptions = z.infer<typeof dpoOptions>;

export const generationOptions = z.strictObject({
  num_samples: count(MOST.samples).default(1).describe("completions of each prompt"),
  max_new_tokens: count(MOST.tokens).default(256).describe("longest completion in tokens"),
  temperature: z.number().min(0).default(1).describe("0 = greedy"),
  top_k: countOrNone(MOST.tokens).default(0).describe("keep the k most likely tokens; 0 = all"),
  top_p: z.number().gt(0).max(1).default(1).describe("keep the fewest tokens whose mass reaches this; 1 = all"),
  min_p: z.number().min(0).lt(1).default(0).describe("cut tokens less likely than this share of the likeliest; 0 = none"),
  stop: z.array(z.string().min(1)).default([]).describe("texts that end a completion; it keeps the one it ended at, and what else that text's last token holds"),
  max_batch: count(MOST.samples).default(64).describe("completions decoded together; does not change them"),
  seed,
});
export type GenerationOptions = z.infer<typeof generationOptions>;

/** Of the lots that choose among candidate pairs, and the round of phase 2 that every pair keeps. */
export const pairOptions = z.strictObject({
  policy: z.enum(["paper_cot", "answer_only", "correctness", "mixed"]).default("paper_cot")
    .describe("which completions become chosen and rejected"),
  target_source: z.enum(["teacher", "gold"]).default("teacher").describe("the answer that counts as right"),
  dpo_prompt: z.enum(["plain", "cot"]).default("plain")
    .describe("prompt both completions are scored on: without or with the trigger"),
  max_pairs_per_question: count(MOST.rows).default(4).describe("pairs made of one question"),
  max_teacher_share: fraction.default(0.5)
    .describe("largest share of pairs whose chosen is the teacher's chain, for want of a right sample; 0 = none"),
  max_similarity: fraction.default(1)
    .describe("samples of a question that overlap more (Jaccard of tokens) are duplicates; 1: only equal texts are"),
  seed,
  iteration: countOrNone(MOST.epochs).default(0).describe("round of phase 2, kept in every pair"),
});
