// What an instruction set provides for the optimizer: ranges of elements.
#pragma once

#include "kernels/optimizer/op.h"

namespace selfrefine {

/// The factors of AdamWStep that all elements share, rounded once.
struct AdamWFactors {
  float gradient_scale;
  float decay;           // 1 - learning_rate * weight_decay
  float beta1, rest1;    // rest = 1 - beta
  float beta2, rest2;
  float root_scale;      // 1 / sqrt(1 - beta2^step)
  float eps;
  float step_size;       // learning_rate / (1 - beta1^step)
};

struct OptimizerKernels {
  void (*adamw)(const AdamWStep& op, const AdamWFactors& factors, int64_t begin, int64_t end);
  double (*sum_of_squares)(const float* x, int64_t count);
};

}  // namespace selfrefine
