"""What transformers makes of our files, and files of its own for us: a JSON request a line on stdin, an answer a line.

Driven by test/interop/python.ts. It knows nothing of our code; every number here comes from transformers itself.
"""
import json
import os
import sys
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers as tf  # noqa: E402

SIZES = dict(vocab_size=300, hidden_size=48, intermediate_size=56, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=1)
LLAMA3 = dict(rope_type="llama3", rope_theta=50000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
VARIANTS = {
    "llama-tied": lambda: tf.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama-untied-llama3-head-dim": lambda: tf.LlamaConfig(
        **SIZES, tie_word_embeddings=False, head_dim=12, rope_parameters=LLAMA3, rms_norm_eps=1e-5),
    "llama-linear": lambda: tf.LlamaConfig(
        **{**SIZES, "num_key_value_heads": 6}, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=1e4)),
    "mistral-window": lambda: tf.MistralConfig(**SIZES, sliding_window=5),
    "mistral-full": lambda: tf.MistralConfig(**SIZES, sliding_window=None),
    "qwen2": lambda: tf.Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2-window": lambda: tf.Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=0),
    "qwen3": lambda: tf.Qwen3Config(**SIZES, head_dim=10, tie_word_embeddings=True),
}
# Configs that transformers computes and we do not, with the word by which each is to be refused.
REFUSED = {
    "rope-yarn": ("yarn", lambda: tf.LlamaConfig(
        **SIZES, rope_parameters=dict(rope_type="yarn", factor=2.0, rope_theta=1e4))),
    "rope-dynamic": ("dynamic", lambda: tf.LlamaConfig(
        **SIZES, rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=1e4))),
    "attention-bias": ("attention_bias", lambda: tf.LlamaConfig(**SIZES, attention_bias=True)),
    "mlp-bias": ("mlp_bias", lambda: tf.LlamaConfig(**SIZES, mlp_bias=True)),
    "activation": ("hidden_act", lambda: tf.LlamaConfig(**SIZES, hidden_act="gelu")),
    "half-of-the-layers-slide": ("layer_types", lambda: tf.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "experts": ("MixtralForCausalLM", lambda: tf.MixtralConfig(**SIZES)),
    "softcapping": ("Gemma2ForCausalLM", lambda: tf.Gemma2Config(**SIZES)),
    "multipliers": ("GraniteForCausalLM", lambda: tf.GraniteConfig(**SIZES)),
    "layers-without-positions": ("SmolLM3ForCausalLM", lambda: tf.SmolLM3Config(**SIZES)),
}
CHAT = ("{{ bos_token }}{% for m in messages %}{{ '[' + m.role + ']' + m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}")


def make_tokenizer():
    """A byte-level BPE with BOS in front, a special token of its own and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=SIZES["vocab_size"], special_tokens=["<s>", "</s>", "<|end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    core.train_from_iterator(["the cat and the other cat sat on the mat then they ate"] * 4, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])
    return tf.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>",
                                      extra_special_tokens=["<|end|>"], chat_template=CHAT)


def make_model(config, seed):
    """Weights far from their initial values, so that a norm or a bias left out shows."""
    torch.manual_seed(seed)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if "norm" in name:
                parameter.copy_(1 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * (0.4 if "embed_tokens" in name else 1.5 / parameter.shape[1] ** 0.5))
    model.generation_config.eos_token_id = [1, 2]
    return model


def write(directory):
    """Every variant in float32, in bfloat16 and in shards, each with a tokenizer; and the configs to be refused."""
    tokenizer = make_tokenizer()
    for seed, (name, config) in enumerate(VARIANTS.items()):
        model = make_model(config(), seed)
        model.save_pretrained(f"{directory}/{name}")
        model.save_pretrained(f"{directory}/{name}-sharded", max_shard_size="40KB")
        model.to(torch.bfloat16).save_pretrained(f"{directory}/{name}-bfloat16")
        for suffix in ("", "-sharded", "-bfloat16"):
            tokenizer.save_pretrained(f"{directory}/{name}{suffix}")
    for name, (_, config) in REFUSED.items():
        made = config()
        made.architectures = [type(tf.AutoModelForCausalLM.from_config(made)).__name__]
        made.save_pretrained(f"{directory}/refused/{name}")
    return {"variants": list(VARIANTS), "refused": {name: word for name, (word, _) in REFUSED.items()}}


def write_tokenizer(directory):
    make_tokenizer().save_pretrained(directory)


def reshard(source, target, size):
    tf.AutoModelForCausalLM.from_pretrained(source, dtype="auto").save_pretrained(target, max_shard_size=size)
    tf.AutoTokenizer.from_pretrained(source).save_pretrained(target)


def score(directory, sequences):
    """Log-probs of every next token, as float32 from the weights as stored; and what of the files did not fit."""
    model, info = tf.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    misfits = sorted(map(str, [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]))
    with torch.no_grad():
        rows = [torch.log_softmax(model.eval()(torch.tensor([ids])).logits[0], -1) for ids in sequences]
    stored = str(tf.AutoModelForCausalLM.from_pretrained(directory, dtype="auto").dtype).removeprefix("torch.")
    return {"class": type(model).__name__, "dtype": stored, "misfits": misfits,
            "logps": [row.flatten().tolist() for row in rows]}


def generate(directory, prompt, count):
    """Greedy tokens after the prompt, by `generate` with the directory's own generation_config.json."""
    model = tf.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    out = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=count)
    return out[0, len(prompt):].tolist()


def encode(directory, texts):
    """Ids with and without special tokens, and what they decode to; the ids of BOS, EOS and padding."""
    tokenizer = tf.AutoTokenizer.from_pretrained(directory)
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return {"plain": plain, "special": [tokenizer(text)["input_ids"] for text in texts],
            "decoded": [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain],
            "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "length": len(tokenizer)}


def decode(directory, tokens):
    return {"text": tf.AutoTokenizer.from_pretrained(directory).decode(tokens, skip_special_tokens=True)}


def chat(directory, messages):
    tokenizer = tf.AutoTokenizer.from_pretrained(directory)
    return [tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            for prompt in (False, True)]


def train(**job):
    import trainers
    return trainers.train(**job)


def next_logps(model, sequences):
    with torch.no_grad():
        rows = [torch.log_softmax(model.eval()(torch.tensor([ids])).logits[0, :-1], -1) for ids in sequences]
    return [row.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist() for row, ids in zip(rows, sequences)]


def score_adapter(base, adapter, sequences):
    """Log-probs of the tokens that follow, under the base with an adapter by peft."""
    from peft import PeftModel
    model = tf.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return next_logps(PeftModel.from_pretrained(model, adapter), sequences)


def score_auto(adapter, sequences):
    """The same by the adapter's directory alone; the working directory is not its own."""
    from peft import AutoPeftModelForCausalLM
    return next_logps(AutoPeftModelForCausalLM.from_pretrained(adapter), sequences)


def make_adapter(base, output, options, sequences):
    """The same of a new adapter with LoraConfig(**options), none of whose parts is zero, which peft saves."""
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(3)
    model = tf.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    model.save_pretrained(output)
    return next_logps(model, sequences)


def serve(answers):
    calls = {call.__name__: call for call in (
        write, write_tokenizer, reshard, score, generate, encode, decode, chat, train, score_adapter,
        score_auto, make_adapter)}
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        answer = calls[request.pop("call")](**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    # Libraries print where they like; answers have the real stdout for themselves.
    real = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(real)
