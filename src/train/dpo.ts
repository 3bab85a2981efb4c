// Direct Preference Optimization against the model's own frozen start: preference pairs packed prompt | chosen |
// rejected, rewards and margins logged under TRL's names. It does NOT build pairs or know tasks.
import { dpoRules } from "../config/effects";
import { dpoOptions, type DpoOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { encodePairs, type Encoded, type EncodedPair } from "../data/encode";
import { parsePairRecord, type PairRecord } from "../data/formats";
import { branchRows, expectRoom, packPairs, type MicroBatch } from "../data/packing";
import { fail } from "../errors";
import { hashJson } from "../files";
import type { Model } from "../model";
import type { PreferenceOptions, TokenSums } from "../native";
import { expectMemory } from "../plan/memory";
import { dpoCapacity, rowLengths, trainingJob } from "../plan/work";
import type { DpoEvent, DpoStepEvent, ReferenceEvent } from "./events";
import { identityOf, isEncoded, optimize, type GroupResult, type TrainingControl } from "./loop";
import { keepReference, keptReference, scoreReference, type ReferenceLogps } from "./reference";
import { addTokens, noTokens, TrainingSession } from "./session";
import { stepEvent, tokenMeans } from "./sft";

/** Pairs of text, or what encodePairs made of them (already held to a length). */
export type DpoData = readonly PairRecord[] | Encoded<EncodedPair>;

export interface DpoControl extends TrainingControl {
  /** Reference log-probs that were computed before, in the order of the pairs. */
  reference?: ReferenceLogps;
}

type DpoMetrics = Omit<DpoStepEvent, keyof ReturnType<typeof stepEvent>>;

/** Metrics that are means over tokens, not over pairs. */
type TokenMetrics = Pick<DpoMetrics, "entropy" | "mean_token_accuracy" | "logits/chosen" | "logits/rejected">;
type PairMetrics = Omit<DpoMetrics, keyof TokenMetrics>;

interface DpoGroupResult extends GroupResult {
  metrics: DpoMetrics;
}

function encode(model: Model, data: DpoData, options: DpoOptions): Encoded<EncodedPair> {
  if (isEncoded(data)) return data;
  const named = data.map((row, index) => ({ record: parsePairRecord(row, `pair ${index}`), name: `pair ${index}` }));
  return encodePairs(model.tokenizer, named, {
    maxLength: model.longestRow(options.max_length), overlong: options.overlong,
  });
}

/** Log-probs of a pair's completions, sums in nats. */
interface PairScore {
  chosenLogp: number;
  rejectedLogp: number;
  chosenReference: number;
  rejectedReference: number;
}

function pairMetrics(scores: readonly PairScore[], { beta }: DpoOptions): PairMetrics {
  const sum: PairMetrics = {
    "rewards/chosen": 0, "rewards/rejected": 0, "rewards/margins": 0, "rewards/accuracies": 0,
    "logps/chosen": 0, "logps/rejected": 0, "objective/kl": 0,
  };
  for (const score of scores) {
    const chosenRatio = score.chosenLogp - score.chosenReference;
    const rejectedRatio = score.rejectedLogp - score.rejectedReference;
    const chosen = beta * chosenRatio;
    const rejected = beta * rejectedRatio;
    sum["rewards/chosen"] += chosen;
    sum["rewards/rejected"] += rejected;
    sum["rewards/margins"] += chosen - rejected;
    sum["rewards/accuracies"] += Number(chosen > rejected);
    sum["logps/chosen"] += score.chosenLogp;
    sum["logps/rejected"] += score.rejectedLogp;
    sum["objective/kl"] -= (chosenRatio + rejectedRatio) / 2;
  }
  const means = Object.entries(sum).map(([name, value]) => [name, value / scores.length]);
  return Object.fromEntries(means) as PairMetrics;
}

function tokenMetrics(chosen: TokenSums, rejected: TokenSums): TokenMetrics {
  const both = noTokens();
  for (const sums of [chosen, rejected]) addTokens(both, sums);
  return {
    entropy: tokenMeans(both).entropy,
    mean_token_accuracy: tokenMeans(chosen).mean_token_accuracy,
    "logits/chosen": chosen.meanLogits / chosen.tokens,
    "logits/rejected": rejected.meanLogits / rejected.tokens,
  };
}

/** Tokens of the two rows that a pair is. */
function pairTokens({ promptIds, chosenIds, rejectedIds }: EncodedPair): number {
  return 2 * promptIds.length + chosenIds.length + rejectedIds.length;
}

class PairGradient {
  constructor(
    private readonly session: TrainingSession,
    private readonly pairs: readonly EncodedPair[],
    private readonly reference: ReferenceLogps,
    private readonly options: DpoOptions,
  ) {}

  /** Packs these pairs; what is returned adds the gradient of the mean loss over them. */
  pack(group: readonly number[]): () => Promise<DpoGroupResult> {
    const pairs = group.map((index) => this.pairs[index]!);
    const weights = this.preference(pairs);
    const scores: PairScore[] = [];
    const rowTokens = pairs.reduce((sum, pair) => sum + pairTokens(pair), 0);
    const result = { loss: 0, rowTokens, scoredTokens: 0, inputTokens: 0 };
    const [chosen, rejected] = [noTokens(), noTokens()];
    const membersOf = (batch: MicroBatch): number[] => batch.members.map((member) => group[member]!);
    const batches = packPairs(pairs, this.options.micro_batch_tokens);
    const turns = this.session.inTurn(batches, (size, one) => {
      this.putReference(membersOf(one));
      return this.session.dpo(size, weights);
    });
    return async () => {
      for await (const { batch, result: done } of turns) {
        result.loss += done.loss;
        addTokens(chosen, done.chosen);
        addTokens(rejected, done.rejected);
        result.scoredTokens += batch.scoredTokens;
        result.inputTokens += batch.size.tokens;
        membersOf(batch).forEach((index, k) => scores.push(this.score(index, k)));
      }
      return { ...result, metrics: { ...pairMetrics(scores, this.options), ...tokenMetrics(chosen, rejected) } };
    };
  }

  private preference(pairs: readonly EncodedPair[]): PreferenceOptions {
    const chosenTokens = pairs.reduce((sum, { chosenIds }) => sum + chosenIds.length, 0);
    return {
      loss: this.options.loss_type,
      lengthNormalize: this.options.length_normalize,
      beta: this.options.beta,
      labelSmoothing: this.options.label_smoothing,
      pairWeight: 1 / pairs.length,
      nllWeight: this.options.rpo_alpha / chosenTokens,
    };
  }

  private putReference(members: readonly number[]): void {
    members.forEach((index, k) => {
      this.session.referenceLogps[2 * k] = this.reference.chosen[index]!;
      this.session.referenceLogps[2 * k + 1] = this.reference.rejected[index]!;
    });
  }

  private score(index: number, k: number): PairScore {
    const { sequenceLogps } = this.session.outputs;
    return {
      chosenLogp: sequenceLogps[2 * k]!,
      rejectedLogp: sequenceLogps[2 * k + 1]!,
      chosenReference: this.reference.chosen[index]!,
      rejectedReference: this.reference.rejected[index]!,
    };
  }
}

function checkReference(reference: ReferenceLogps, pairs: number): void {
  const { chosen, rejected } = reference;
  if (chosen.length !== pairs || rejected.length !== pairs) {
    fail("ERR_INVALID_ARGUMENT", `reference log-probs of ${chosen.length} chosen and ${rejected.length} rejected `
      + `completions were given for ${pairs} pairs`);
  }
  const bad = [...chosen, ...rejected].find((value) => !Number.isFinite(value));
  if (bad !== undefined) fail("ERR_INVALID_ARGUMENT", `a reference log-prob is ${bad}; compute them again`);
}

/** @throws ERR_CONFIG where the model is its own base */
function expectReference(model: Model, { reference }: DpoOptions): void {
  if (reference === "start" || model.lora) return;
  fail("ERR_CONFIG", "`reference` base has no effect: the model has no adapters, so that it would be start; leave it out",
    { option: "reference" });
}

/** What stands for a training's beginning, but for the reference. */
async function beginning(model: Model, pairs: readonly EncodedPair[]): Promise<{ model: unknown; data: string }> {
  const data = hashJson(pairs.map(({ promptIds, chosenIds, rejectedIds }) => [promptIds, chosenIds, rejectedIds]));
  return { model: await identityOf(model), data };
}

/** The scores given, or those kept by a training that stopped, or computed now and, with checkpoints, kept. */
async function* referenceOf(
  model: Model, session: TrainingSession, pairs: readonly EncodedPair[], options: DpoOptions, control: DpoControl,
): AsyncGenerator<ReferenceEvent, ReferenceLogps, undefined> {
  if (control.reference) {
    checkReference(control.reference, pairs.length);
    return control.reference;
  }
  const directory = control.checkpoint?.directory;
  const identity = directory === undefined ? ""
    : hashJson({ ...await beginning(model, pairs), reference: options.reference });
  const kept = directory === undefined ? undefined : await keptReference(directory, identity);
  if (kept) return kept;
  const scores = { chosen: new Float32Array(pairs.length), rejected: new Float32Array(pairs.length) };
  yield* scoreReference(model, session, pairs, options, scores, control.signal);
  if (directory !== undefined) await keepReference(directory, identity, scores);
  return scores;
}

/**
 * Refines `model` in place; one event per optimizer step. The reference is the model as it is when the call begins, or
 * its base (options.reference).
 * @throws ERR_CONFIG, ERR_DATA naming a pair that is too long, ERR_OUT_OF_MEMORY; the signal's reason when aborted
 */
export async function* dpo(
  model: Model, data: DpoData, options: Partial<DpoOptions> = {}, control: DpoControl = {},
): AsyncGenerator<DpoEvent, void, undefined> {
  const parsed = parseOptions(dpoOptions, options, "dpo", dpoRules);
  const { examples: pairs, dropped, truncated } = encode(model, data, parsed);
  if (pairs.length === 0) fail("ERR_DATA", `no pairs to train on (${dropped.length} were too long, or equal where they were cut)`);
  const tokens = parsed.micro_batch_tokens;
  expectRoom(pairs, tokens);
  expectReference(model, parsed);
  model.expectTrainable();
  const lengths = rowLengths(pairs.map(({ promptIds, chosenIds, rejectedIds }) =>
    branchRows(promptIds, [chosenIds, rejectedIds])));
  expectMemory(model, trainingJob("dpo", tokens, lengths));
  const session = new TrainingSession(model, dpoCapacity(tokens));
  try {
    const reference = yield* referenceOf(model, session, pairs, parsed, control);
    yield { type: "reference_logps", ...reference };
    const gradient = new PairGradient(session, pairs, reference, parsed);
    let steps = 0;
    for await (const step of optimize({
      session,
      count: pairs.length,
      options: parsed,
      identity: async () => ({
        loss: "dpo",
        ...await beginning(model, pairs),
        reference: hashJson([Array.from(reference.chosen), Array.from(reference.rejected)]),
      }),
      pack: (group) => gradient.pack(group),
    }, control)) {
      steps = step.totalSteps;
      yield { ...stepEvent(step), ...step.result.metrics };
    }
    yield { type: "trained", steps, dropped: dropped.length, truncated };
  } finally {
    session.dispose();
  }
}
