// The run that `selfrefine quickstart` does: the whole method in minutes on two CPU cores, with a student, a
// task family and a teacher that need no download. All its numbers are here. It does NOT run anything.
import type { RunConfigInput } from "../config/run-options";

export const QUICKSTART: RunConfigInput = {
  name: "quickstart",
  student: {
    from_scratch: {
      hidden_size: 128,
      intermediate_size: 352,
      num_hidden_layers: 5,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      max_position_embeddings: 320,
      vocab_size: 640,
    },
  },
  tasks: {
    train: { task: "wordproblems" },
    in_domain: [{ task: "wordproblems" }],
    out_domain: [
      { task: "wordproblems-order" },
      { task: "wordproblems-longer" },
      { task: "wordproblems-distractor" },
      { task: "wordproblems-reversed" },
    ],
  },
  wordproblems: { train: 3000, test: 300 },
  template: "plain",
  // A student from scratch knows no trigger, so the demonstrations teach it.
  demonstration_trigger: true,
  teacher: { kind: "procedural", error_rate: 0.1, styles: ["terse"], filter: "correct" },
  sft: { learning_rate: 2e-3, num_train_epochs: 6, batch_size: 32, max_length: 320, weight_decay: 0.01 },
  sample: { n_cot: 6, n_direct: 0, temperature: 0.8, max_new_tokens: 64, max_batch: 128 },
  pairs: { policy: "correctness", dpo_prompt: "cot", max_pairs_per_question: 2 },
  dpo: { learning_rate: 5e-5, beta: 0.1, batch_size: 32, max_length: 320, rpo_alpha: 1 },
  evaluation: { max_new_tokens: 96, max_batch: 128 },
};
