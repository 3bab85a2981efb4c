// SwiGLU on a fused gate|up row: out = silu(gate) * up. Source: Shazeer 2020, "GLU Variants Improve Transformer".
#pragma once

#include "core/tensor.h"

namespace selfrefine {

struct SwigluForward {
  Tensor out;      // (N, F) T
  Tensor gate_up;  // (N, 2F) T
  void check() const;
};

struct SwigluBackward {
  Tensor dgate_up;  // (N, 2F) T, may be the memory of gate_up
  Tensor dout;      // (N, F) T
  Tensor gate_up;   // (N, 2F) T
  void check() const;
};

}  // namespace selfrefine
