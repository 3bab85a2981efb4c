// Loss curves of one training with AdamW's states in float32 and in bfloat16: the same student, data and order, from
// several seeds. Word problems of the project's own and its programmatic teacher, so that anyone can repeat it.
import type { ModelOptions, SftOptions } from "../src/config/options";
import { encodeSft, type EncodedSft } from "../src/data/encode";
import { packSft } from "../src/data/packing";
import { Model } from "../src/model";
import { getTask } from "../src/tasks";
import { proceduralAnswers } from "../src/teacher/procedural";
import { demonstrate } from "../src/teacher/demonstrations";
import { trainBpe } from "../src/text/bpe-trainer";
import { Tokenizer } from "../src/text/tokenizer";
import { TrainingSession } from "../src/train/session";
import { sft } from "../src/train/sft";

export interface StatesOptions {
  steps: number;
  seeds: number;
  threads: number;
}

type Kind = Pick<ModelOptions, "dtype" | "optim_states">;

const KINDS: Readonly<Record<string, Kind>> = {
  "float32": { dtype: "float32", optim_states: "float32" },
  "bfloat16, float32 states": { dtype: "bfloat16", optim_states: "float32" },
  "bfloat16, bfloat16 states": { dtype: "bfloat16", optim_states: "bfloat16" },
};

/** Steps of one point of a curve, and of the end that is compared. */
const POINT_STEPS = 20;
const HELD_OUT_TOKENS = 4096;

interface Rows {
  tokenizer: Tokenizer;
  train: EncodedSft[];
  heldOut: EncodedSft[];
}

async function loadRows(): Promise<Rows> {
  const task = getTask("wordproblems", { wordproblems: { train: 4000, validation: 200, min_steps: 1, max_steps: 3, max_operand: 9, max_total: 40 } });
  const texts = async (split: "train" | "validation") => {
    const questions = await task.load("", split);
    const answers = proceduralAnswers(questions, { error_rate: 0 });
    const { demonstrations } = demonstrate(task, questions, answers, { filter: "none" });
    return demonstrations.map(({ id, input, output }) => ({ name: id, record: { prompt: input, completion: ` ${output}` } }));
  };
  const [train, heldOut] = [await texts("train"), await texts("validation")];
  const corpus = train.map(({ record }) => record.prompt + record.completion);
  const { tokenizer, tokenizerConfig } = trainBpe(corpus, { vocabSize: 640 });
  const bpe = new Tokenizer({ tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate: null });
  const encode = (rows: typeof train) => encodeSft(bpe, rows, { maxLength: 320, overlong: "drop" }).examples;
  return { tokenizer: bpe, train: encode(train), heldOut: encode(heldOut) };
}

function fresh({ tokenizer }: Rows, kind: Kind, seed: number, threads: number): Promise<Model> {
  return Model.create({
    model_type: "llama", vocab_size: tokenizer.vocabSize, hidden_size: 128, intermediate_size: 352,
    num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 32, rms_norm_eps: 1e-5,
    rope_theta: 1000, tie_word_embeddings: true, max_position_embeddings: 320,
  }, tokenizer, { device: "cpu", threads, seed, ...kind });
}

/** Mean negative log-likelihood of the completions' tokens, in nats. */
async function heldOutLoss(model: Model, rows: readonly EncodedSft[]): Promise<number> {
  const session = new TrainingSession(model, {
    maxTokens: HELD_OUT_TOKENS, maxSegments: HELD_OUT_TOKENS, maxSequences: HELD_OUT_TOKENS, training: false,
  });
  let sum = 0;
  let tokens = 0;
  for (const batch of packSft(rows, HELD_OUT_TOKENS)) {
    const size = batch.fill(session.inputs);
    await session.logps(size);
    sum -= session.outputs.sequenceLogps.subarray(0, size.sequences).reduce((total, logp) => total + logp, 0);
    tokens += batch.scoredTokens;
  }
  session.dispose();
  return sum / tokens;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const rounded = (value: number): number => Number(value.toPrecision(5));

/** Means of POINT_STEPS losses each. */
function points(losses: readonly number[]): number[] {
  return Array.from({ length: Math.floor(losses.length / POINT_STEPS) }, (_, k) =>
    rounded(mean(losses.slice(k * POINT_STEPS, (k + 1) * POINT_STEPS))));
}

export interface StatesResult {
  states: string;
  seed: number;
  /** Mean training loss of each 20 steps. */
  curve: number[];
  held_out_loss: number;
}

export async function* compareStates(
  { steps, seeds, threads }: StatesOptions,
): AsyncGenerator<StatesResult, { options: Partial<SftOptions>; rows: number }> {
  const rows = await loadRows();
  const options: Partial<SftOptions> = {
    learning_rate: 2e-3, batch_size: 16, max_steps: steps, warmup_ratio: 0.05, weight_decay: 0.01, adam_beta2: 0.98,
    completion_only_loss: false, max_length: 320,
  };
  for (let seed = 0; seed < seeds; seed++) {
    for (const [states, kind] of Object.entries(KINDS)) {
      const model = await fresh(rows, kind, seed, threads);
      const losses: number[] = [];
      const data = { examples: rows.train, dropped: [], truncated: 0 };
      for await (const event of sft(model, data, { ...options, seed })) {
        if (event.type === "step") losses.push(event.loss);
      }
      const held_out_loss = rounded(await heldOutLoss(model, rows.heldOut));
      model.dispose();
      yield { states, seed, curve: points(losses), held_out_loss };
    }
  }
  return { options, rows: rows.train.length };
}
