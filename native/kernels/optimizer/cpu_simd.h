// AdamW in one pass over its arrays, and the sum of squares. All run at the speed of memory.
#pragma once

#include "cpu/philox_simd.h"
#include "cpu/view.h"
#include "kernels/optimizer/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace optimizer {

SELFREFINE_INLINE void round_to(float*, int64_t, Vec, int) {}  // float32: the master is the parameter
SELFREFINE_INLINE void round_to(bf16* parameter, int64_t i, Vec p, int lanes) { store_n(parameter + i, p, lanes); }

struct State {
  Vec parameter, exp_avg, exp_avg_sq;
};

SELFREFINE_INLINE State next(const AdamWFactors& a, Vec gradient, State s) {
  const Vec g = gradient * broadcast(a.gradient_scale);
  const Vec m = fma(broadcast(a.rest1), g, s.exp_avg * broadcast(a.beta1));
  const Vec v = fma(broadcast(a.rest2), g * g, s.exp_avg_sq * broadcast(a.beta2));
  const Vec root = fma(sqrt(v), broadcast(a.root_scale), broadcast(a.eps));
  return {fnma(broadcast(a.step_size), m / root, s.parameter * broadcast(a.decay)), m, v};
}

void adamw(const AdamWStep& op, const AdamWFactors& a, int64_t begin, int64_t end) {
  by_type(op.parameter, [&](auto type) {
    using T = decltype(type);
    T* parameter = data<T>(op.parameter) + begin;
    float* master = data<float>(op.master) + begin;
    float* exp_avg = data<float>(op.exp_avg) + begin;
    float* exp_avg_sq = data<float>(op.exp_avg_sq) + begin;
    float* gradient = data<float>(op.gradient) + begin;
    for_lanes(end - begin, [&](int64_t i, int lanes) {
      const State s = next(a, load_n(gradient + i, lanes),
                           {load_n(master + i, lanes), load_n(exp_avg + i, lanes), load_n(exp_avg_sq + i, lanes)});
      store_n(exp_avg + i, s.exp_avg, lanes);
      store_n(exp_avg_sq + i, s.exp_avg_sq, lanes);
      store_n(master + i, s.parameter, lanes);
      store_n(gradient + i, zero(), lanes);
      round_to(parameter, i, s.parameter, lanes);
    });
  });
}

SELFREFINE_INLINE void store_noisy(float* to, Vec x, int lanes, Words) { store_n(to, x, lanes); }
SELFREFINE_INLINE void store_noisy(bf16* to, Vec x, int lanes, Words noise) { store_n(to, x, lanes, noise); }

template <typename T>
struct StochasticArrays {
  T *parameter, *exp_avg, *exp_avg_sq;
  float* gradient;
};

/// Elements [i, i + lanes), with two words of random bits for each.
template <typename T>
SELFREFINE_INLINE void step_stochastic(const StochasticArrays<T>& at, const AdamWFactors& a, int64_t i, int lanes,
                                       Words word0, Words word1) {
  const State s = next(a, load_n(at.gradient + i, lanes),
                       {load_n(at.parameter + i, lanes), load_n(at.exp_avg + i, lanes),
                        load_n(at.exp_avg_sq + i, lanes)});
  store_noisy(at.parameter + i, s.parameter, lanes, word0 & 0xffffu);
  store_noisy(at.exp_avg + i, s.exp_avg, lanes, word0 >> 16);
  store_noisy(at.exp_avg_sq + i, s.exp_avg_sq, lanes, word1 & 0xffffu);
  store_n(at.gradient + i, zero(), lanes);
}

/// The random bits are those of core/rounding.h: lane l of a vector and element 16 + l share a block.
void adamw_stochastic(const AdamWStochasticStep& op, const AdamWFactors& a, int64_t begin, int64_t end) {
  constexpr int64_t kGroup = AdamWStochasticStep::kGroup, kHalf = kGroup / 2;
  static_assert(kHalf % kWidth == 0);
  by_type(op.parameter, [&](auto type) {
    using T = decltype(type);
    const StochasticArrays<T> at{data<T>(op.parameter), data<T>(op.exp_avg), data<T>(op.exp_avg_sq),
                                 data<float>(op.gradient)};
    for (int64_t group = begin; group < end; group += kGroup) {
      for (int64_t i = group; i < group + kHalf && i < end; i += kWidth) {
        const PhiloxWords random = philox((op.first + group) / 2 + (i - group), static_cast<uint32_t>(op.step), 1,
                                          op.seed);
        if (i + kHalf + kWidth <= end) {
          step_stochastic(at, a, i, kWidth, random.words[0], random.words[1]);
          step_stochastic(at, a, i + kHalf, kWidth, random.words[2], random.words[3]);
        } else {
          step_stochastic(at, a, i, static_cast<int>(min_of<int64_t>(kWidth, end - i)), random.words[0],
                          random.words[1]);
          const int64_t rest = min_of<int64_t>(kWidth, end - i - kHalf);
          if (rest > 0) {
            step_stochastic(at, a, i + kHalf, static_cast<int>(rest), random.words[2], random.words[3]);
          }
        }
      }
    }
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

constexpr OptimizerKernels table{adamw, adamw_stochastic, sum_of_squares};

}  // namespace optimizer
SELFREFINE_ISA_END
