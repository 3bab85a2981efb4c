// RMSNorm over hidden states, and the same per head on queries and keys (QK-norm of Qwen3).
// Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization": y = x / sqrt(mean(x^2) + eps) * weight.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

struct RmsNormForward {
  Tensor out;     // (N, C) T
  Tensor rstd;    // (N) f32, 1 / sqrt(mean(x^2) + eps)
  Tensor x;       // (N, C) T
  Tensor weight;  // (C) T
  float eps = 0;
  void check() const;
};

/// dx = dresidual + d/dx of RmsNormForward. dx may be the memory of dout or of dresidual.
struct RmsNormBackward {
  Tensor dx;         // (N, C) T
  Tensor dweight;    // (C) f32 +=, or absent: the weight is frozen
  Tensor dout;       // (N, C) T
  Tensor dresidual;  // (N, C) T or absent: the gradient that reaches x past the norm
  Tensor x;          // (N, C) T
  Tensor rstd;       // (N) f32
  Tensor weight;     // (C) T
  void check() const;
};

/// Normalises the H query heads with q_weight and the K key heads with k_weight; value heads are copied.
struct HeadNormForward {
  Tensor out;       // (N, G, D) T, not the memory of x
  Tensor rstd;      // (N, H + K) f32
  Tensor x;         // (N, G, D) T
  Tensor q_weight;  // (D) T
  Tensor k_weight;  // (D) T
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // K
  float eps = 0;
  void check() const;
};

struct HeadNormBackward {
  Tensor dx;         // (N, G, D) T, may be the memory of dout
  Tensor dq_weight;  // (D) f32 +=, or both absent: the weights are frozen
  Tensor dk_weight;  // (D) f32 +=
  Tensor dout;       // (N, G, D) T
  Tensor x;          // (N, G, D) T
  Tensor rstd;       // (N, H + K) f32
  Tensor q_weight;   // (D) T
  Tensor k_weight;   // (D) T
  int num_heads = 0;
  int num_kv_heads = 0;
  void check() const;
};

}  // namespace selfrefine
