// What an instruction set provides for the optimizer: ranges of elements.
#pragma once

#include "kernels/optimizer/op.h"

namespace selfrefine {

struct OptimizerKernels {
  void (*adamw)(const AdamWStep& op, const AdamWFactors& factors, int64_t begin, int64_t end);
  /// `begin` is a multiple of AdamWStochasticStep::kGroup.
  void (*adamw_stochastic)(const AdamWStochasticStep& op, const AdamWFactors& factors, int64_t begin, int64_t end);
  double (*sum_of_squares)(const float* x, int64_t count);
};

}  // namespace selfrefine
