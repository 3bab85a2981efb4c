// The sections of a run file that are not options of one call: student, tasks, teacher, sampling, pairs,
// evaluation. Names and style as in options.ts, whose schemas are reused. The seed of a stage is derived from
// the run's one seed, so sections have none of their own. It does NOT read files.
import { z } from "zod";
import { CHAIN_STYLES, FRAME_NAMES } from "../tasks/wordproblems";
import { PROCEDURAL_TEACHER_DEFAULTS } from "../teacher/procedural";
import { TEMPLATE_NAMES } from "../text/templates";
import {
  count, countOrNone, dpoOptions, generationOptions, loraOptions, modelOptions, MOST, pairOptions, sftOptions,
} from "./options";

const path = z.string().min(1);
const share = z.number().min(0).max(1);

const taskSource = z.strictObject({
  task: z.string().describe("name of the task; `selfrefine inspect tasks` lists them"),
  data: path.optional().describe("the benchmark's folder; procedural tasks have none"),
  split: z
    .enum(["train", "validation", "test", "all"])
    .optional()
    .describe("default: train for training, the task's customary one for evaluation"),
  limit: countOrNone(MOST.steps).default(0).describe("use the first so many questions; 0 = all"),
});
export type TaskSource = z.infer<typeof taskSource>;

const pretrainOptions = sftOptions
  .omit({ seed: true, completion_only_loss: true, overlong: true })
  .extend({
    data: z
      .array(path)
      .default([])
      .describe("text files (.txt, documents apart by blank lines) or files of records"),
    train_questions: z
      .enum(["none", "question", "direct"])
      .default("none")
      .describe("train-side questions as text: alone, or prompted and with the bare gold answer (direct)"),
  });

const fromScratch = z.strictObject({
  hidden_size: count(MOST.vocabulary).default(128).describe("width of the residual stream"),
  intermediate_size: count(MOST.vocabulary).default(352).describe("width of the feed-forward layers"),
  num_hidden_layers: count(4096).default(4).describe("decoder layers"),
  num_attention_heads: count(MOST.samples).default(4).describe("query heads"),
  num_key_value_heads: count(MOST.samples).default(2).describe("key and value heads"),
  head_dim: countOrNone(MOST.samples).default(0).describe("width of a head; 0 = hidden_size / num_attention_heads"),
  max_position_embeddings: count(MOST.tokens).default(512).describe("longest sequence"),
  rope_theta: z.number().positive().default(10000).describe("base of the rotary positions"),
  rms_norm_eps: z.number().positive().default(1e-5).describe("epsilon of the norms"),
  tie_word_embeddings: z.boolean().default(true).describe("one matrix for embedding and head"),
  initializer_range: z.number().positive().default(0.02).describe("standard deviation of the fresh weights"),
  tokenizer: path
    .optional()
    .describe("folder with a tokenizer.json, or the file of a tokenizer.model or tok*.bin; default: one is trained"),
  vocab_size: z.number().int().min(258).max(MOST.vocabulary).default(512).describe("tokens of the trained tokenizer"),
  split_digits: z.boolean().default(true).describe("each digit a token of its own"),
  pretrain: pretrainOptions.optional().describe("language-model training before the method begins"),
});

export const TOKENIZER_HELP =
  "for a .bin model: a folder with a tokenizer.json, or the file itself of a tokenizer.model or of llama2.c's tok*.bin";

const student = z.strictObject({
  path: path.optional().describe("Hugging Face directory, PEFT adapter, or a llama2.c .bin file"),
  base_model: path.optional().describe("for an adapter: its base model, where that is not where the adapter says"),
  tokenizer: path.optional().describe(TOKENIZER_HELP),
  from_scratch: fromScratch.optional().describe("a fresh model of these dimensions"),
});

export const teacherOptions = z.strictObject({
  kind: z.enum(["file", "procedural", "openai"]).default("procedural").describe("who demonstrates"),
  filter: z
    .enum(["none", "correct"])
    .default("none")
    .describe("correct: leave out answers that differ from gold"),
  max_per_question: countOrNone(MOST.rows).default(0).describe("demonstrations kept of one question; 0 = all"),
  files: z.array(path).default([]).describe("file: files or folders of answers"),
  name: z.string().optional().describe("file: who wrote them; default: the file's name"),
  error_rate: share
    .default(PROCEDURAL_TEACHER_DEFAULTS.error_rate)
    .describe("procedural: share of wrong demonstrations"),
  styles: z
    .array(z.enum(CHAIN_STYLES))
    .min(1)
    .default([...PROCEDURAL_TEACHER_DEFAULTS.styles])
    .describe("procedural: wordings, drawn evenly"),
  per_question: count(MOST.samples)
    .default(PROCEDURAL_TEACHER_DEFAULTS.per_question)
    .describe("procedural, openai: demonstrations of each question"),
  base_url: z.string().optional().describe("openai: server, up to and with /v1; default: OPENAI_BASE_URL"),
  model: z.string().optional().describe("openai: name of the model; default: OPENAI_MODEL"),
  api_key_env: z
    .string()
    .default("OPENAI_API_KEY")
    .describe("openai: environment variable that holds the key"),
  temperature: z.number().min(0).default(0).describe("openai: sampling temperature"),
  max_tokens: count(MOST.tokens).default(512).describe("openai: longest answer"),
  concurrency: count(1024).default(4).describe("openai: requests at once"),
});
export type TeacherOptions = z.infer<typeof teacherOptions>;

const decoding = generationOptions.omit({ num_samples: true, seed: true });

export const sampleOptions = decoding.extend({
  n_cot: countOrNone(MOST.samples).default(4).describe("completions of each question with the trigger"),
  n_direct: countOrNone(MOST.samples).default(1).describe("completions of each question without the trigger"),
  temperature: z.number().min(0).default(0.8).describe("0 = greedy"),
});
export type SampleOptions = z.infer<typeof sampleOptions>;

const pairSection = pairOptions.omit({ seed: true, iteration: true });

export const evaluationOptions = decoding.extend({
  temperature: z.number().min(0).default(0).describe("0 = greedy"),
  trigger: z.boolean().default(true).describe("ask with the chain-of-thought trigger"),
  votes: count(MOST.samples).default(1).describe("majority vote over so many samples"),
});

export const wordproblemOptions = z.strictObject({
  seed: countOrNone(Number.MAX_SAFE_INTEGER).optional().describe("seed of the questions; default: the run's"),
  train: countOrNone(MOST.rows).optional().describe("questions of the train split"),
  validation: countOrNone(MOST.rows).optional().describe("questions of each validation split"),
  test: countOrNone(MOST.rows).optional().describe("questions of each test split"),
  min_steps: count(100).optional().describe("fewest arithmetic steps"),
  max_steps: count(100).optional().describe("most arithmetic steps"),
  max_operand: count(MOST.rows).optional().describe("largest number added or taken away"),
  max_factor: count(MOST.rows).optional().describe("largest multiplier and divisor"),
  max_total: count(MOST.steps).optional().describe("no result on the way exceeds it"),
  frames: z.array(z.enum(FRAME_NAMES)).min(1).optional().describe("kinds of stories"),
});

export const rejectionOptions = z.strictObject({
  distinct: z
    .boolean()
    .default(true)
    .describe("each chosen path once; false: as often as pairs choose it, for as many updates as dpo makes"),
  learning_rate: z.number().positive().optional().describe("peak learning rate"),
  num_train_epochs: count(MOST.epochs).optional().describe("passes over the chosen paths"),
  batch_size: count(MOST.rows).optional().describe("rows of one optimizer step"),
  warmup_ratio: share.optional().describe("share of the steps in which the learning rate rises from 0"),
  weight_decay: z.number().min(0).optional().describe("decoupled weight decay of matrices"),
});

export const CONTROLS = ["dpo_without_sft", "rejection_sampling"] as const;
export type Control = (typeof CONTROLS)[number];

export const runSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, "letters, digits, '.', '_' and '-' are wanted")
    .default("run")
    .describe("name of the run and of its directory"),
  seed: z
    .number()
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe("the run's one seed; every stage's is derived from it"),
  data_dir: path.optional().describe("where relative data paths start; default: the run file's directory"),
  student: student.describe("the model to be instructed and refined"),
  model: modelOptions.prefault({}).describe("where and how to compute"),
  tasks: z
    .strictObject({
      train: taskSource.describe("questions to learn from"),
      in_domain: z.array(taskSource).default([]).describe("evaluation on the task that is trained on"),
      out_domain: z.array(taskSource).default([]).describe("evaluation on other tasks"),
    })
    .describe("questions"),
  wordproblems: wordproblemOptions.prefault({}).describe("knobs of the procedural word problems"),
  template: z.enum(TEMPLATE_NAMES).default("alpaca").describe("how a question is put to the student"),
  demonstration_trigger: z.boolean().default(false).describe("the trigger in the prompts of demonstrations"),
  teacher: teacherOptions.prefault({}).describe("where demonstrations come from"),
  lora: loraOptions.optional().describe("adapters that both phases train instead of the weights"),
  sft: sftOptions.omit({ seed: true }).prefault({}).describe("phase 1: instruction-tuning"),
  sample: sampleOptions.prefault({}).describe("phase 2: the student's reasoning paths"),
  pairs: pairSection.prefault({}).describe("phase 2: preference pairs"),
  dpo: dpoOptions.omit({ seed: true }).prefault({}).describe("phase 2: preference optimization"),
  iterations: count(1000).default(1).describe("rounds of phase 2, each from the last model"),
  controls: z.array(z.enum(CONTROLS)).default([]).describe("comparisons: what else could explain the gain"),
  rejection: rejectionOptions
    .prefault({})
    .describe("control rejection_sampling: how it is trained, where not as in phase 1"),
  evaluation: evaluationOptions.prefault({}).describe("how models are examined"),
  leakage: z
    .enum(["drop", "error"])
    .default("drop")
    .describe("train questions that recur in evaluation: leave them out of training, or stop"),
  audit: z.enum(["error", "warn"]).default("error").describe("serious faults in the encoded training rows"),
});
export type RunConfig = z.infer<typeof runSchema>;
export type RunConfigInput = z.input<typeof runSchema>;
