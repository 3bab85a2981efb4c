// What a training call reports, step by step. Metric names are TRL's, so that existing dashboards and scripts fit.

/** One optimizer step of SFT. */
export interface SftStepEvent {
  type: "step";
  /** Counted from 1. */
  step: number;
  total_steps: number;
  /** Passes over the data so far, with fraction. */
  epoch: number;
  /** Mean negative log-likelihood (nats) of the scored tokens. */
  loss: number;
  /**
   * Mean over the scored tokens of -sum_v p[v] log p[v], in nats: how unsure the model is of a token, whatever the
   * token is.
   */
  entropy: number;
  /** Share of the scored tokens that no other token was likelier than: the model's first choice, or one of a tie. */
  mean_token_accuracy: number;
  learning_rate: number;
  /** Global norm before clipping. */
  grad_norm: number;
  /** Tokens of all rows trained on so far, this step's included; a pair's prompt counts with each completion. */
  num_tokens: number;
  /** Of this step: tokens that were scored, and tokens that went through the model (a pair's prompt once). */
  num_scored_tokens: number;
  num_input_tokens: number;
  seconds: number;
}

/** Reference log-probabilities being computed, before the first update. */
export interface ReferenceEvent {
  type: "reference";
  finished: number;
  total: number;
}

/**
 * One optimizer step of DPO. Log-probs are sums over a completion, in nats; rewards are beta times the difference of
 * such sums, whatever the loss normalises. Means are over the step's pairs, those of tokens over the tokens of all its
 * completions.
 */
export interface DpoStepEvent extends SftStepEvent {
  /** As for SFT, of the chosen completions alone. */
  mean_token_accuracy: number;
  "rewards/chosen": number;
  "rewards/rejected": number;
  "rewards/margins": number;
  /** Share of pairs whose chosen reward is the larger; of ties, as before the first update, none is. */
  "rewards/accuracies": number;
  "logps/chosen": number;
  "logps/rejected": number;
  /**
   * Mean of the logits over the tokens of the chosen completions and, for each, over the whole vocabulary. A shift of
   * all logits of a token moves it and no probability.
   */
  "logits/chosen": number;
  "logits/rejected": number;
  /**
   * Mean of reference minus policy log-probs over the step's completions: an estimate of KL(reference || policy) as far
   * as they are the reference's own samples.
   */
  "objective/kl": number;
}

export interface TrainedEvent {
  type: "trained";
  steps: number;
  /** Rows left out because they were too long, and rows cut. */
  dropped: number;
  truncated: number;
}

export type SftEvent = SftStepEvent | TrainedEvent;
/** All reference log-probs, sums over each completion in nats, in the order of the pairs: worth storing with them. */
export interface ReferenceLogpsEvent {
  type: "reference_logps";
  chosen: Float32Array;
  rejected: Float32Array;
}

export type DpoEvent = ReferenceEvent | ReferenceLogpsEvent | DpoStepEvent | TrainedEvent;
