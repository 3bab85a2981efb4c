// Selecting rows of a packed batch: only rows that predict a scored token pass through the loss head.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// out[m] = x[rows[m]]
struct GatherRows {
  Tensor out;   // (M, C) T
  Tensor x;     // (N, C) T
  Tensor rows;  // (M) i32, strictly increasing, each in [0, N)
  void check() const;
};

/// out = 0 everywhere, then out[rows[m]] = x[m]
struct ScatterRows {
  Tensor out;   // (N, C) T
  Tensor x;     // (M, C) T
  Tensor rows;  // (M) i32, strictly increasing, each in [0, N)
  void check() const;
};

}  // namespace selfrefine
