// Token embedding: row lookup and its scatter-add.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

struct EmbeddingForward {
  Tensor out;     // (N, C) T
  Tensor weight;  // (V, C) T
  Tensor tokens;  // (N) i32, each in [0, V)
  void check() const;
};

/// dweight[tokens[n]] += dout[n], in the order of n for each token: the result does not depend on threads.
struct EmbeddingBackward {
  Tensor dweight;  // (V, C) f32 +=
  Tensor dout;     // (N, C) T
  Tensor tokens;   // (N) i32
  void check() const;
};

}  // namespace selfrefine
