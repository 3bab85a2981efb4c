// Linear layers in the layout of Hugging Face checkpoints: weight is (output features, input features).
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// out = x weight^T [+ bias] [+ residual]. A row of out depends on its row of x alone, bit for bit, whatever N is:
/// on cuda with cuBLASLt or from Hopper on, among calls of the same alignment that are alike frozen or not.
struct MatmulForward {
  Tensor out;       // (N, O) T, or f32 for logits
  Tensor x;         // (N, I) T
  Tensor weight;    // (O, I) T
  Tensor bias;      // (O) T or absent
  Tensor residual;  // (N, O) type of out, or absent; may be the memory of out
  void check() const;
};

/// dx = dout weight, added to dx if accumulate.
struct MatmulBackwardInput {
  Tensor dx;      // (N, I) T
  Tensor dout;    // (N, O) T
  Tensor weight;  // (O, I) T
  bool accumulate = false;
  void check() const;
};

/// dweight += dout^T x, dbias += column sums of dout.
struct MatmulBackwardWeight {
  Tensor dweight;  // (O, I) f32 +=
  Tensor dbias;    // (O) f32 += or absent
  Tensor dout;     // (N, O) T
  Tensor x;        // (N, I) T
  void check() const;
};

}  // namespace selfrefine
