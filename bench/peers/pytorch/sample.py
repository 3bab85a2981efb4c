"""PyTorch's decoding, timed: prompts of one length prefilled as a batch, then a token a sequence a step, KV cache.

    sample.py --config bench/configs/medium.json --batch 64 --prompt-length 16 --new-tokens 64 --dtype bfloat16
"""
import time

import peer


def options():
    parser = peer.arguments("PyTorch peer: decode a batch with a KV cache, once a round")
    parser.add_argument("--prompt-length", type=peer.positive, default=16)
    parser.add_argument("--new-tokens", type=peer.positive, default=64)
    parser.add_argument("--temperature", type=float, default=0.0, help="0: greedy")
    parsed = parser.parse_args()
    if parsed.new_tokens < 2:
        parser.error("--new-tokens is 1, expected 2 or more: the prefill yields the first, decoding the rest")
    return parsed


def next_tokens(torch, logits, temperature):
    """logits (B, V) -> tokens (B, 1)."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial((logits.float() / temperature).softmax(-1), 1)


def decode(torch, model, config, opts, prompts):
    """Tokens (B, new_tokens), prefill seconds, decode seconds. The prefill yields the first new token."""
    from llama import KeyValueCache
    length = opts.prompt_length + opts.new_tokens
    dtype = model.embed.weight.dtype
    caches = [KeyValueCache(opts.batch, config, length, dtype) for _ in model.layers]
    started = time.perf_counter()
    produced = [next_tokens(torch, model.head(model(prompts, 0, caches)[:, -1]), opts.temperature)]
    prefilled = time.perf_counter()
    for position in range(opts.prompt_length, length - 1):
        hidden = model(produced[-1], position, caches)[:, -1]
        produced.append(next_tokens(torch, model.head(hidden), opts.temperature))
    return torch.cat(produced, 1), prefilled - started, time.perf_counter() - prefilled


def main():
    opts = options()
    peer.enter_best_form(opts)
    torch = peer.import_torch()
    torch.set_num_threads(opts.threads)
    torch.manual_seed(opts.seed)
    config = peer.read_config(opts.config)
    from llama import Llama
    model = Llama(config, opts.prompt_length + opts.new_tokens).to(getattr(torch, opts.dtype)).eval()
    prompts = torch.randint(config["vocab_size"], (opts.batch, opts.prompt_length))
    flops_per_token = peer.forward_flops(config, opts.prompt_length + opts.new_tokens / 2)

    def round_of(_):
        with torch.inference_mode():
            _, prefill, seconds = decode(torch, model, config, opts, prompts)
        steps = opts.new_tokens - 1
        rate = opts.batch * steps / seconds
        return {"tokens_per_second": rate, "step_ms": seconds / steps * 1e3, "prefill_ms": prefill * 1e3,
                "flops_per_second": rate * flops_per_token}

    peer.serve(opts, torch.__version__, round_of)


if __name__ == "__main__":
    main()
