// What TRL, transformers and llama.cpp call by another name than we do, or have and we do not: one table of hints for
// the error of an unknown option. None of these names works here. It does NOT know who asks.

const batch = "here `batch_size` is all rows of an optimizer step, and `micro_batch_tokens` bounds the tokens of one pass";
const dtype = "here it is `dtype` bfloat16";
const epochs = "here it is `num_train_epochs`";
const learning = "here it is `learning_rate`";
const length = "here `max_length` bounds prompt and completion together";
const drawn = "here it is `max_new_tokens`";
const samples = "here `n_cot` completions are drawn with the trigger and `n_direct` without (by sample() num_samples)";
const recomputed = "memory is bounded by `micro_batch_tokens` here: activations are kept, not computed again";
const packed = "rows are always packed here, without padding";
const saved = "a training keeps its state every checkpoint-seconds here, and goes on from it by itself";
const logged = "every step is an event here, and a line of the training log";
const noLoss = "losses are sigmoid, robust, hinge and ipo here, each with `label_smoothing`, `length_normalize` or `rpo_alpha` "
  + "where they apply";

/** By option, or option=value. */
export const ELSEWHERE: Readonly<Record<string, string | undefined>> = {
  per_device_train_batch_size: batch,
  per_device_eval_batch_size: "here `max_batch` completions are decoded together",
  gradient_accumulation_steps: batch,
  auto_find_batch_size: "here `selfrefine plan` says what fits",
  lr: learning,
  epochs,
  num_epochs: epochs,
  bf16: dtype,
  fp16: dtype,
  torch_dtype: dtype,
  warmup_steps: "here it is a share of the steps, `warmup_ratio`",
  gradient_checkpointing: recomputed,
  optim: "the optimizer is AdamW here; `optim_states` says how its states are stored",
  packing: packed,
  padding_free: packed,
  max_seq_length: "here it is `max_length`",
  max_prompt_length: length,
  max_target_length: length,
  truncation_mode: "here `overlong` says what becomes of a row that is too long",
  assistant_only_loss: "here it is `completion_only_loss`: the last turn of the assistant is the completion",
  num_generations: samples,
  num_return_sequences: samples,
  max_completion_length: drawn,
  max_tokens: drawn,
  n_predict: drawn,
  stop_strings: "here it is `stop`",
  do_sample: "here `temperature` 0 is greedy",
  num_beams: "there is no beam search here",
  repetition_penalty: "there is no such penalty here",
  ld_alpha: "there is no length-desensitized loss here; `length_normalize` divides log-probabilities by the length",
  reference_free: "the reference is always the model as it begins here, or its base (`reference`)",
  ref_model: "the reference is the model as it begins here, or its base (`reference`)",
  precompute_ref_log_probs: "the reference is always scored once here, before the first step",
  lora_rank: "here it is `lora.r`",
  lora_r: "here it is `lora.r`",
  lora_target_modules: "here it is `lora.target_modules`",
  lora_dropout: "adapters are trained without dropout here",
  use_dora: "of LoRA's variants rsLoRA alone is here (`lora.use_rslora`)",
  output_dir: "here it is --output",
  model_name_or_path: "here it is --model, and student.path in a run file",
  dataset_name: "here it is a file, --train, and tasks in a run file",
  logging_steps: logged,
  report_to: logged,
  save_steps: saved,
  save_strategy: saved,
  resume_from_checkpoint: saved,
  "loss_type=sigmoid_norm": "here that is `loss_type` sigmoid with `length_normalize`",
  "loss_type=cdpo": "here that is `loss_type` sigmoid with `label_smoothing`",
  "loss_type=sft": "here that is a weight of its own, `rpo_alpha`",
  "loss_type=kto": noLoss,
  "loss_type=kto_pair": noLoss,
  "loss_type=exo_pair": noLoss,
  "loss_type=nca_pair": noLoss,
  "loss_type=bco_pair": noLoss,
  "loss_type=sppo_hard": noLoss,
  "loss_type=aot": noLoss,
  "loss_type=aot_pair": noLoss,
  "loss_type=aot_unpaired": noLoss,
  "loss_type=discopop": noLoss,
  "loss_type=apo_zero": noLoss,
  "loss_type=apo_down": noLoss,
};
