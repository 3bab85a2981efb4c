// What an instruction set provides for the rotary embedding.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace selfrefine {

/// One row's turn: cosines and sines of its D / 2 angles.
struct RopeAngles {
  const float* cosines;
  const float* sines;
};

struct RopeKernels {
  /// Turns the first `heads` heads of row n of qkv; sign -1 turns back.
  void (*rotate)(const Tensor& qkv, int64_t n, int64_t heads, RopeAngles angles, bool interleaved, float sign);
};

}  // namespace selfrefine
