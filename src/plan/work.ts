// What a piece of work needs room for: the capacities that training and sampling are opened with, as functions of their
// options, so that what is planned is what is then opened. It does NOT know how much memory that is.
import type { ModelConfig, PlannedWork, SamplerCapacity, TrainerCapacity } from "../native";

/** Work whose memory one option decides above all. */
export interface PlannedJob {
  what: "sft" | "dpo" | "sample";
  option: "micro_batch_tokens" | "max_batch";
  value: number;
  /** The work with that option set to `value`. */
  work: (value: number) => PlannedWork;
}

export function sftCapacity(microBatchTokens: number): TrainerCapacity {
  return {
    maxTokens: microBatchTokens, maxSegments: microBatchTokens, maxSequences: microBatchTokens, training: true,
  };
}

export function dpoCapacity(microBatchTokens: number): TrainerCapacity {
  return {
    maxTokens: microBatchTokens, maxSegments: microBatchTokens, maxSequences: 2 * microBatchTokens, training: true,
  };
}

/** The rows of a micro-batch: the tokens of the longest, and of one on average. */
export interface RowLengths {
  longest: number;
  mean: number;
}

export function rowLengths(tokens: readonly number[]): RowLengths {
  const longest = tokens.reduce((most, count) => Math.max(most, count), 1);
  const mean = tokens.reduce((sum, count) => sum + count, 0) / Math.max(1, tokens.length);
  return { longest, mean: Math.max(1, mean) };
}

/** Training; rows are examples, or prompts with both answers. */
export function trainingJob(what: "sft" | "dpo", microBatchTokens: number, rows: RowLengths): PlannedJob {
  const capacity = what === "sft" ? sftCapacity : dpoCapacity;
  return {
    what,
    option: "micro_batch_tokens",
    value: microBatchTokens,
    work: (tokens) => ({
      training: {
        capacity: capacity(tokens),
        preference: what === "dpo",
        rowLength: Math.max(1, Math.min(rows.longest, tokens)),
        rows: Math.max(1, Math.ceil(tokens / rows.mean)),
      },
      sampling: null,
    }),
  };
}

/** Training with these options, on rows as long as they may be. */
export function trainingWork(
  what: "sft" | "dpo", options: { micro_batch_tokens: number; max_length: number },
): (config: Pick<ModelConfig, "maxPositionEmbeddings">) => PlannedJob {
  return (config) => {
    const row = Math.min(options.max_length, config.maxPositionEmbeddings);
    const longest = what === "dpo" ? 2 * row : row;
    return trainingJob(what, options.micro_batch_tokens, { longest, mean: longest });
  };
}

/** Each sequence wastes less than a page of its own and one of its prompt. */
const CACHE_PAGE_SLACK = 128;
/** Several short prompts are computed in one pass. */
const PREFILL_TOKENS = 1024;

export function samplerCapacity(maxBatch: number, longestPrompt: number, maxNewTokens: number): SamplerCapacity {
  const maxLength = longestPrompt + maxNewTokens;
  return {
    maxBatch,
    maxLength,
    maxPrefillTokens: Math.max(longestPrompt, PREFILL_TOKENS),
    cacheTokens: maxBatch * (maxLength + CACHE_PAGE_SLACK),
  };
}

export function samplingJob(maxBatch: number, longestPrompt: number, maxNewTokens: number): PlannedJob {
  return {
    what: "sample",
    option: "max_batch",
    value: maxBatch,
    work: (batch) => ({ training: null, sampling: samplerCapacity(batch, longestPrompt, maxNewTokens) }),
  };
}
