// Rotary position embedding on the query and key heads of fused q|k|v rows, in place.
// Source: Su et al. 2021, "RoFormer". Pair (a, b) of a head turns by angle position * inv_freq[i]:
// a' = a cos - b sin, b' = b cos + a sin, with (a, b) = elements (i, i + D/2), or (2i, 2i + 1) if interleaved.
// Scaled variants (linear, llama3) differ only in inv_freq.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// Positions are below; no model has as many.
inline constexpr int64_t kRopeMaxPosition = int64_t{1} << 24;

struct RopeForward {
  Tensor qkv;        // (N, G, D) T, in place; value heads are left alone
  Tensor positions;  // (N) i32
  Tensor inv_freq;   // (D / 2) f32
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // K
  bool interleaved = false;
  void check() const;
};

/// The rotation by the opposite angle.
struct RopeBackward {
  Tensor dqkv;       // (N, G, D) T, in place
  Tensor positions;  // (N) i32
  Tensor inv_freq;   // (D / 2) f32
  int num_heads = 0;
  int num_kv_heads = 0;
  bool interleaved = false;
  void check() const;
};

}  // namespace selfrefine
