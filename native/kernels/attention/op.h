// Causal attention over packed sequences with a shared prefix, grouped queries and an optional sliding window.
// Source: Dao 2023, "FlashAttention-2" (online softmax, log-sum-exp kept for the backward pass).
//
// The mask is a list of segments (begin, end, prefix_begin, prefix_end), begin increasing and disjoint, covering all N
// rows. A row q of a segment sees the keys of [begin, q] and of [prefix_begin, prefix_end) (empty: 0, 0), less those
// with positions[q] - positions[key] >= window. A prefix is the whole of one earlier segment that has no prefix itself,
// and the segments that use it follow it one after the other: prompt | chosen | rejected. So a query tile has at most
// two key intervals, and a key tile at most one query interval on the way back.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

struct AttentionForward {
  Tensor out;        // (N, H, D) T
  Tensor lse;        // (N, H) f32: log of the sum of exp(scale * q.k) over the visible keys
  Tensor qkv;        // (N, G, D) T: query heads, key heads, value heads
  Tensor segments;   // (S, 4) i32
  Tensor positions;  // (N) i32
  int num_heads = 0;     // H, a multiple of K
  int num_kv_heads = 0;  // K
  float scale = 0;       // 1 / sqrt(D)
  int window = 0;        // 0 = unlimited
  void check() const;
};

struct AttentionBackward {
  Tensor dqkv;       // (N, G, D) T, written
  Tensor dout;       // (N, H, D) T
  Tensor out;        // (N, H, D) T
  Tensor lse;        // (N, H) f32
  Tensor qkv;        // (N, G, D) T
  Tensor segments;   // (S, 4) i32
  Tensor positions;  // (N) i32
  int num_heads = 0;
  int num_kv_heads = 0;
  float scale = 0;
  int window = 0;
  void check() const;
};

}  // namespace selfrefine
