// Conversion between storage types: what rounds the optimizer's float32 masters to the weights a model computes with.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// out = x rounded to T, to nearest even.
struct CastStorage {
  Tensor out;  // (n) T, may be the memory of x when T is float32
  Tensor x;    // (n) f32
  void check() const;
};

}  // namespace selfrefine
