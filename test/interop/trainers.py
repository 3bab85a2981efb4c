"""SFT and DPO by TRL's own trainers on the CPU in float32, rows in the order given: what they log at each step.

Called by hf.py; needs trl and datasets.
"""
import tempfile

import datasets
import torch
import transformers as tf
import trl

datasets.disable_progress_bars()
KINDS = {"sft": (trl.SFTConfig, trl.SFTTrainer), "dpo": (trl.DPOConfig, trl.DPOTrainer)}
FIXED = dict(
    use_cpu=True, bf16=False, gradient_checkpointing=False, optim="adamw_torch", report_to=[], save_strategy="no",
    logging_steps=1, logging_nan_inf_filter=False, disable_tqdm=True, train_sampling_strategy="sequential",
    dataloader_pin_memory=False,
)


def train(kind, directory, rows, options):
    """The trainer's log, one record a step; `options` are those of TRL's config."""
    make_config, make_trainer = KINDS[kind]
    model = tf.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as output:
        trainer = make_trainer(
            model=model, args=make_config(output_dir=output, **FIXED, **options),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tf.AutoTokenizer.from_pretrained(directory))
        trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]
