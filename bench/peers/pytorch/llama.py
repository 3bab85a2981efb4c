"""Llama in PyTorch, batched, for speed: what a user of PyTorch would train and decode without further libraries.

q, k, v and gate, up are one product each (faster than Hugging Face's five); attention is PyTorch's own fused one on a
GPU and, from PyTorch 2 on, for whole sequences on a CPU; weights are random. Dense batches only: no padding, no packing. It does not know losses or sampling.
B batch, T tokens, K key/value heads, G = H / K.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        x32 = x.float()
        return self.weight * (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


def rotary_table(config, length):
    """cos, sin (length, D), both halves alike: rotate-half layout."""
    head_dim = config["head_dim"]
    inv_freq = config["rope_theta"] ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.outer(torch.arange(length).float(), inv_freq)
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim, hidden = config["head_dim"], config["hidden_size"]
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.out = nn.Linear(self.heads * self.head_dim, hidden, bias=False)

    def forward(self, x, cos, sin, mask, cache=None):
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.append(k, v)
        is_fused = q.is_cuda or (length > 1 and hasattr(F, "scaled_dot_product_attention"))
        mixed = self.fused(q, k, v, mask) if is_fused else self.mix(q, k, v, mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))

    def fused(self, q, k, v, mask):
        """mix() by the kernel that PyTorch picks. A causal mask over as many keys as queries needs no tensor."""
        q, k, group = q.to(v.dtype), k.to(v.dtype), self.heads // self.kv_heads
        if group > 1:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        is_causal = mask is not None and q.shape[2] == k.shape[2]
        return F.scaled_dot_product_attention(q, k, v, None if is_causal else mask, is_causal=is_causal)

    def mix(self, q, k, v, mask):
        """softmax(q k' / sqrt(D) + mask) v; the G query heads of one key head are rows of one product."""
        batch, heads, length, head_dim = q.shape
        rows = q.reshape(batch, self.kv_heads, -1, head_dim)
        scores = (rows @ k.transpose(2, 3)).view(batch, heads, length, -1) * (1 / math.sqrt(head_dim))
        if mask is not None:
            scores = scores + mask
        weights = scores.softmax(-1).to(v.dtype).view(batch, self.kv_heads, -1, k.shape[2])
        return (weights @ v).view(batch, heads, length, head_dim)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, inner, eps = config["hidden_size"], config["intermediate_size"], config["rms_norm_eps"]
        self.input_norm, self.post_norm = RmsNorm(hidden, eps), RmsNorm(hidden, eps)
        self.attention = Attention(config)
        self.gate_up = nn.Linear(hidden, 2 * inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(self, x, *attention_inputs):
        x = x + self.attention(self.input_norm(x), *attention_inputs)
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, config, max_length):
        super().__init__()
        self.embed = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RmsNorm(config["hidden_size"], config["rms_norm_eps"])
        self.head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=config["initializer_range"])
        if config["tie_word_embeddings"]:
            self.head.weight = self.embed.weight
        for name, table in zip(("cos", "sin"), rotary_table(config, max_length)):
            self.register_buffer(name, table, persistent=False)

    def forward(self, tokens, start=0, caches=None):
        """tokens (B, T) at positions start .. start + T - 1 -> hidden states (B, T, C) after the last norm."""
        length, dtype = tokens.shape[1], self.embed.weight.dtype
        cos, sin = (t[start:start + length].to(dtype) for t in (self.cos, self.sin))
        # One query sees every cached key: only a longer run needs the causal mask (keys = queries in both uses).
        mask = torch.full((length, length), -math.inf, dtype=dtype, device=tokens.device).triu(1) if length > 1 else None
        return self.run(tokens, cos, sin, mask, caches)

    def step(self, tokens, position, caches):
        """tokens (B, 1) at `position` (1), a tensor, so that one record serves every step; caches are StaticCache."""
        dtype = self.embed.weight.dtype
        cos, sin = (t.index_select(0, position).to(dtype) for t in (self.cos, self.sin))
        seen = torch.arange(self.cos.shape[0], device=tokens.device) <= position
        mask = torch.zeros(seen.shape, dtype=dtype, device=tokens.device).masked_fill(~seen, -math.inf)
        return self.run(tokens, cos, sin, mask[None, None, None], caches)

    def run(self, tokens, cos, sin, mask, caches):
        x = self.embed(tokens)
        for index, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, caches[index] if caches else None)
        return self.norm(x)


class KeyValueCache:
    """Keys and values of one layer, (B, K, max_length, D), allocated once."""

    def __init__(self, batch, config, max_length, weight):
        shape = (batch, config["num_key_value_heads"], max_length, config["head_dim"])
        self.keys, self.values = weight.new_zeros(shape), weight.new_zeros(shape)
        self.length = 0

    def append(self, k, v):
        end = self.length + k.shape[2]
        self.keys[:, :, self.length:end], self.values[:, :, self.length:end] = k, v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class StaticCache(KeyValueCache):
    """The same, but every call sees all max_length keys: shapes and addresses do not change from step to step."""

    def __init__(self, batch, config, max_length, weight, position):
        super().__init__(batch, config, max_length, weight)
        self.position = position

    def append(self, k, v):
        if k.shape[2] > 1:
            return super().append(k, v)  # the prompt, at the beginning
        self.keys.index_copy_(2, self.position, k)
        self.values.index_copy_(2, self.position, v)
        return self.keys, self.values
