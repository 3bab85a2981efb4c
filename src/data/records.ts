/**
 * The records that travel between stages as JSON Lines, one interface a kind.
 * Field names are TRL's and Hugging Face's (snake_case), so that the files are usable by other trainers as they stand.
 * Every record says where it came from: a pair can be traced back to its question, samples and policy.
 * Knows nothing of how records are made, tokenized or scored.
 */

/** The three splits every task has. `all` is for sets that were never split. */
export type Split = "train" | "validation" | "test" | "all";

/** One option of a multiple-choice question. `label` is the upper-case letter shown to the model. */
export interface Choice {
  label: string;
  text: string;
}

/** A question with its gold answer, in the normal form of its task (a number, or an option letter). */
export interface Question {
  /** Unique within (task, split). */
  id: string;
  task: string;
  split: Split;
  question: string;
  /** Only where `kind` of the task is "choice". */
  choices?: Choice[];
  /** "42", "-3.5", "2/3" or "B". */
  gold: string;
  /** The human or reference chain that came with the question, where there is one (GSM8K). */
  rationale?: string;
}

/** A teacher's answer to a question, as instruction-tuning data. */
export interface Demonstration {
  /** Id of the question it answers. */
  id: string;
  task: string;
  instruction: string;
  input: string;
  /** The teacher's text, trimmed and otherwise untouched. */
  output: string;
  /** Rendered text before the output; present once a template was applied. */
  prompt?: string;
  /** Rendered text to learn; present once a template was applied. */
  completion?: string;
  /** The teacher's final answer by strict extraction; null: none could be extracted. */
  target: string | null;
  gold: string | null;
  /** target equals gold; null when there is no gold. A demonstration without a target is not correct. */
  correct: boolean | null;
  /** Who wrote it, e.g. "text-davinci-003/few-shot-cot", "human", "procedural". */
  teacher: string;
  /** The answer stands before the reasoning; null: it could not be told. */
  answer_first: boolean | null;
  /** The text stops in mid-sentence, as when a token limit was hit. */
  cut_off?: boolean;
}

/** Prompted with the trigger ("cot") or without ("direct"). */
export type SampleMode = "cot" | "direct";

/** One completion drawn from the student. */
export interface SampledPath {
  id: string;
  task: string;
  /** The rendered prompt it was drawn from (with the trigger when mode is "cot"). */
  prompt: string;
  instruction: string;
  input: string;
  mode: SampleMode;
  /** Index among the samples of this (question, mode), from 0. */
  sample: number;
  completion: string;
  /** Ids drawn, the end token included when finish_reason is "stop". */
  tokens?: number[];
  finish_reason: "stop" | "length";
  /** Sum of the log-probabilities (nats) of the drawn tokens under the sampling model at temperature 1. */
  logp: number;
  answer: string | null;
  /** answer equals the target it was scored against; null before it was scored. */
  correct: boolean | null;
  /** What `correct` was scored against. */
  target?: string | null;
  /** The checkpoint that drew it. */
  model?: string;
}

export type PairPolicy = "paper_cot" | "answer_only" | "correctness" | "mixed";
export type PairSource = "student_cot" | "student_direct" | "teacher";

/** A preference pair in TRL's names, with its provenance. */
export interface PreferencePair {
  /** The prompt both completions are scored on (see `dpo_prompt` of the pair options). */
  prompt: string;
  chosen: string;
  rejected: string;
  id: string;
  task: string;
  policy: PairPolicy;
  chosen_source: PairSource;
  rejected_source: PairSource;
  chosen_answer: string | null;
  rejected_answer: string | null;
  chosen_correct: boolean | null;
  rejected_correct: boolean | null;
  /** Sample index of the chosen path; null for the teacher's. */
  chosen_sample: number | null;
  rejected_sample: number | null;
  /** Log-probability (nats, summed over the completion) under the reference model; absent until computed. */
  ref_chosen_logps?: number;
  ref_rejected_logps?: number;
  /** Round of phase 2 that made it, from 0. */
  iteration: number;
}

export type Domain = "in" | "out";

/** One evaluated completion. */
export interface Prediction {
  id: string;
  task: string;
  domain: Domain;
  prompt: string;
  completion: string;
  /** By strict extraction; null counts as wrong and is reported as an extraction failure. */
  answer: string | null;
  gold: string;
  correct: boolean;
}
