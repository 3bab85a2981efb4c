"""PyTorch's decoding, timed: prompts of one length prefilled as a batch, then a token a sequence a step, KV cache.

    sample.py --config bench/configs/medium.json --batch 64 --prompt-length 16 --new-tokens 64 --dtype bfloat16
    sample.py --config bench/configs/1.1b.json --device cuda --form static --batch 256 --dtype bfloat16
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


class Dynamic:
    """Each step sees the keys so far."""

    def __init__(self, torch, model, config, opts):
        self.torch, self.model, self.config, self.opts = torch, model, config, opts

    def prefill(self, prompts):
        from llama import KeyValueCache
        self.length = prompts.shape[1]
        total = self.length + self.opts.new_tokens
        self.caches = [KeyValueCache(self.opts.batch, self.config, total, self.model.embed.weight) for _ in self.model.layers]
        hidden = self.model(prompts, 0, self.caches)[:, -1]
        return next_tokens(self.torch, self.model.head(hidden), self.opts.temperature)

    def step(self, tokens):
        hidden = self.model(tokens, self.length, self.caches)[:, -1]
        self.length += 1
        return next_tokens(self.torch, self.model.head(hidden), self.opts.temperature)


class Static:
    """Each step sees the whole cache, masked; on a GPU it is recorded once as a CUDA graph, or compiled."""

    def __init__(self, torch, model, config, opts):
        from llama import StaticCache
        self.torch, self.model, self.opts = torch, model, opts
        total = opts.prompt_length + opts.new_tokens
        self.position = torch.zeros(1, dtype=torch.long, device=opts.device)
        self.tokens = torch.zeros((opts.batch, 1), dtype=torch.long, device=opts.device)
        self.caches = [StaticCache(opts.batch, config, total, model.embed.weight, self.position) for _ in model.layers]
        self.work = torch.compile(self.compute, mode="max-autotune-no-cudagraphs") if opts.form == "compile" else self.compute
        self.graph = self.record() if opts.device == "cuda" else None

    def compute(self):
        hidden = self.model.step(self.tokens, self.position, self.caches)[:, -1]
        return next_tokens(self.torch, self.model.head(hidden), self.opts.temperature)

    def advance(self):
        self.tokens.copy_(self.work())
        self.position += 1

    def record(self):
        torch = self.torch
        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self.advance()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.advance()
        return graph

    def prefill(self, prompts):
        for cache in self.caches:
            cache.length = 0
        hidden = self.model(prompts, 0, self.caches)[:, -1]
        self.position.fill_(prompts.shape[1])
        self.tokens.copy_(next_tokens(self.torch, self.model.head(hidden), self.opts.temperature))
        return self.tokens

    def step(self, _):
        if self.graph:
            self.graph.replay()
        else:
            self.advance()
        return self.tokens


def decode(torch, decoder, opts, prompts):
    """Tokens (B, new_tokens), prefill seconds, decode seconds. The prefill yields the first new token."""
    started = time.perf_counter()
    produced = [decoder.prefill(prompts).clone()]
    peer.finish(torch, opts)
    prefilled = time.perf_counter()
    for _ in range(opts.new_tokens - 1):
        produced.append(decoder.step(produced[-1]).clone())
    peer.finish(torch, opts)
    return torch.cat(produced, 1), prefilled - started, time.perf_counter() - prefilled


def generate(torch, model, opts, prompts):
    """The same by transformers' generate, which does not tell its prefill apart: that of one new token is taken off."""
    common = {"do_sample": opts.temperature > 0, "pad_token_id": 0, "eos_token_id": None,
              "attention_mask": torch.ones_like(prompts)}
    if opts.temperature > 0:
        common.update(temperature=opts.temperature, top_k=0)
    if opts.form == "transformers-static":
        common["cache_implementation"] = "static"

    def timed(count):
        started = time.perf_counter()
        tokens = model.generate(prompts, max_new_tokens=count, min_new_tokens=count, **common)
        peer.finish(torch, opts)
        return tokens[:, prompts.shape[1]:], time.perf_counter() - started

    _, prefill = timed(1)
    tokens, seconds = timed(opts.new_tokens)
    return tokens, prefill, seconds - prefill


def make_round(torch, config, opts, prompts):
    """A function that decodes once."""
    dtype = getattr(torch, opts.dtype)
    if opts.form.startswith("transformers"):
        model = peer.transformers_model(torch, opts, config, dtype).eval()
        return lambda: generate(torch, model, opts, prompts)
    from llama import Llama
    with peer.on_device(torch, opts):
        model = Llama(config, opts.prompt_length + opts.new_tokens).to(opts.device, dtype).eval()
    with torch.inference_mode():
        decoder = (Dynamic if opts.form == "eager" else Static)(torch, model, config, opts)
    return lambda: decode(torch, decoder, opts, prompts)


def main():
    opts = options()
    peer.enter_best_form(opts)
    torch = peer.import_torch(opts)
    config = peer.read_config(opts.config)
    prompts = torch.randint(config["vocab_size"], (opts.batch, opts.prompt_length)).to(opts.device)
    once = make_round(torch, config, opts, prompts)
    flops_per_token = peer.forward_flops(config, opts.prompt_length + opts.new_tokens / 2)

    def round_of(_):
        with torch.inference_mode():
            _, prefill, seconds = once()
        steps = opts.new_tokens - 1
        rate = opts.batch * steps / seconds
        return {"tokens_per_second": rate, "step_ms": seconds / steps * 1e3, "prefill_ms": prefill * 1e3,
                "flops_per_second": rate * flops_per_token}

    peer.serve(opts, torch, round_of)


if __name__ == "__main__":
    main()
