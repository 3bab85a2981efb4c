// AdamW in one pass over its five arrays, and the sum of squares. Both run at the speed of memory.
#pragma once

#include "cpu/view.h"
#include "kernels/optimizer/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace optimizer {

SELFREFINE_INLINE void round_to(float*, int64_t, Vec, int) {}  // float32: the master is the parameter
SELFREFINE_INLINE void round_to(bf16* parameter, int64_t i, Vec p, int lanes) { store_n(parameter + i, p, lanes); }

void adamw(const AdamWStep& op, const AdamWFactors& a, int64_t begin, int64_t end) {
  by_type(op.parameter, [&](auto type) {
    using T = decltype(type);
    T* parameter = data<T>(op.parameter) + begin;
    float* master = data<float>(op.master) + begin;
    float* exp_avg = data<float>(op.exp_avg) + begin;
    float* exp_avg_sq = data<float>(op.exp_avg_sq) + begin;
    float* gradient = data<float>(op.gradient) + begin;
    for_lanes(end - begin, [&](int64_t i, int lanes) {
      const Vec g = load_n(gradient + i, lanes) * broadcast(a.gradient_scale);
      const Vec m = fma(broadcast(a.rest1), g, load_n(exp_avg + i, lanes) * broadcast(a.beta1));
      const Vec v = fma(broadcast(a.rest2), g * g, load_n(exp_avg_sq + i, lanes) * broadcast(a.beta2));
      const Vec root = fma(sqrt(v), broadcast(a.root_scale), broadcast(a.eps));
      const Vec p = fnma(broadcast(a.step_size), m / root, load_n(master + i, lanes) * broadcast(a.decay));
      store_n(exp_avg + i, m, lanes);
      store_n(exp_avg_sq + i, v, lanes);
      store_n(master + i, p, lanes);
      store_n(gradient + i, zero(), lanes);
      round_to(parameter, i, p, lanes);
    });
  });
}

/// Eight running sums in double, so that the compiler can keep them in vectors and the order is the same everywhere.
double sum_of_squares(const float* x, int64_t count) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      const double value = static_cast<double>(x[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

constexpr OptimizerKernels table{adamw, sum_of_squares};

}  // namespace optimizer
SELFREFINE_ISA_END
