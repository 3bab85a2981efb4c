// AdamW over flat arenas, with float32 states or with none but those in bfloat16, and the norm that clipping needs.
// Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization"; same order of operations as PyTorch.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// out[0] = sum of x^2, accumulated in double over blocks of fixed size: independent of the number of threads.
struct SumOfSquares {
  Tensor out;  // (1) f64
  Tensor x;    // (n) f32
  void check() const;
};

/// What all elements of AdamWStep share, computed in double and rounded once.
struct AdamWFactors {
  float gradient_scale;
  float decay;         // 1 - learning_rate * weight_decay
  float beta1, rest1;  // rest = 1 - beta
  float beta2, rest2;
  float root_scale;    // 1 / sqrt(1 - beta2^step)
  float eps;
  float step_size;     // learning_rate / (1 - beta1^step)
};

///   g = gradient * gradient_scale            p -= learning_rate * weight_decay * p
///   m = beta1 m + (1 - beta1) g              v = beta2 v + (1 - beta2) g^2
///   p -= learning_rate / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
/// p is `master`; parameter is its rounding to T (the same memory as master when T is float32). gradient is set to 0.
struct AdamWStep {
  Tensor parameter;   // (n) T
  Tensor master;      // (n) f32
  Tensor exp_avg;     // (n) f32
  Tensor exp_avg_sq;  // (n) f32
  Tensor gradient;    // (n) f32, zeroed
  double learning_rate = 0;  // double, because 1 - beta2 of a beta2 rounded to float is off by 1e-5
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  float gradient_scale = 1;  // of the clipping: min(1, max_grad_norm / norm)
  int64_t step = 1;          // counted from 1
  void check() const;
  AdamWFactors factors() const;
};

/// The same step where parameter and moments are all there is: no master, and each of the three is stored in T, rounded
/// stochastically by core/rounding.h (bfloat16; as float32 they are stored as they are). The update is taken with the
/// moments before they are rounded.
struct AdamWStochasticStep {
  static constexpr int64_t kGroup = 32;  // elements whose random bits belong together

  Tensor parameter;   // (n) T
  Tensor exp_avg;     // (n) T
  Tensor exp_avg_sq;  // (n) T
  Tensor gradient;    // (n) f32, zeroed
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  float gradient_scale = 1;
  int64_t step = 1;        // counted from 1, below 2^32
  uint64_t seed = 0;       // of the random bits, with step and the number of the element
  int64_t first = 0;       // number of element 0: a multiple of kGroup
  void check() const;
  AdamWFactors factors() const;
};

}  // namespace selfrefine
