// The run that `selfrefine quickstart` does: the whole method in minutes on two CPU cores, with a student, a
// task family and a teacher that need no download. All its numbers are here. It does NOT run anything.
import type { RunConfigInput } from "../config/run-options";

/** Out-of-domain questions of each kind: enough to see a difference, few enough to be quick. */
const OUT_DOMAIN_QUESTIONS = 150;

/** Drawn evenly: three of four state the answer first. */
const TEACHER_STYLES: NonNullable<RunConfigInput["teacher"]>["styles"] = [
  "terse",
  "answer_first",
  "answer_first",
  "answer_first",
];

/** Of the preference training and of its control alike. */
const REFINEMENT = { batch_size: 32, num_train_epochs: 1, warmup_ratio: 0.1 };

/**
 * A student from scratch learns the words, copying and arithmetic in minutes of training. Hence whole
 * numbers as tokens (copying is then one step), small batches (many steps), a loss on the questions too
 * (their repeated names teach copying) and a high learning rate. Three of four of the teacher's demonstrations
 * state the answer before the reasoning, and one in ten is wrong. The student picks up both habits; what it
 * can find out by itself, from which of its paths end in the teacher's answer, is that reasoning first pays.
 * Since the bad habit prevails, lucky guesses are most of the chosen paths, and to imitate these may keep it;
 * the contrast with the rejected paths may not. The control asks: the same chosen paths, as often, in as many
 * updates, without the contrast.
 * All prompts carry the trigger, since a fresh student knows only the prompts that it was taught with.
 */
export const QUICKSTART: RunConfigInput = {
  name: "quickstart",
  student: {
    from_scratch: {
      hidden_size: 128,
      intermediate_size: 352,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      max_position_embeddings: 320,
      rope_theta: 1000,
      vocab_size: 640,
      split_digits: false,
    },
  },
  tasks: {
    train: { task: "wordproblems" },
    in_domain: [{ task: "wordproblems" }],
    out_domain: [
      { task: "wordproblems-order", limit: OUT_DOMAIN_QUESTIONS },
      { task: "wordproblems-longer", limit: OUT_DOMAIN_QUESTIONS },
      { task: "wordproblems-distractor", limit: OUT_DOMAIN_QUESTIONS },
      { task: "wordproblems-reversed", limit: OUT_DOMAIN_QUESTIONS },
    ],
  },
  wordproblems: { train: 4000, test: 300, min_steps: 1, max_steps: 3, max_operand: 9, max_total: 40 },
  template: "plain",
  demonstration_trigger: true,
  teacher: { kind: "procedural", error_rate: 0.1, styles: TEACHER_STYLES },
  sft: {
    learning_rate: 4e-3,
    num_train_epochs: 7,
    batch_size: 16,
    warmup_ratio: 0.05,
    weight_decay: 0.01,
    adam_beta2: 0.98,
    completion_only_loss: false,
    max_length: 320,
  },
  sample: { n_cot: 4, n_direct: 0, temperature: 0.8, max_new_tokens: 64, max_batch: 128 },
  pairs: { policy: "correctness", dpo_prompt: "cot", max_pairs_per_question: 2 },
  dpo: {
    ...REFINEMENT,
    learning_rate: 1e-4,
    beta: 0.1,
    rpo_alpha: 1,
    adam_beta2: 0.98,
    max_length: 320,
  },
  controls: ["rejection_sampling"],
  rejection: { ...REFINEMENT, learning_rate: 1e-3, weight_decay: 0, distinct: false },
  evaluation: { max_new_tokens: 80, max_batch: 128 },
};
