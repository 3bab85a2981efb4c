// The machine's limits for one instruction set, see peak_kernels.h.
#pragma once

#include "cpu/peak_kernels.h"
#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN
namespace peak {

constexpr int kChains = 12;  // hides the latency of two instructions a cycle, 4 to 6 cycles each; fits 16 registers

// Neither operand may be known to the compiler, or it would compute the loop away; the sums stay in registers.
template <typename Step>
SELFREFINE_INLINE float run(int64_t rounds, Step step) {
  Vec sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = zero();
  volatile float opaque = 0.0f;
  const Vec a = broadcast(opaque);
  const Vec b = broadcast(opaque);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) sums[i] = step(a, b, sums[i]);
  }
  Vec total = zero();
  for (int i = 0; i < kChains; ++i) total += sums[i];
  return reduce_add(total);
}

double fma_rate(int64_t rounds, float* sink) {
  *sink = run(rounds, [](Vec a, Vec b, Vec c) __attribute__((always_inline)) { return fma(a, b, c); });
  return 2.0 * kWidth * kChains * static_cast<double>(rounds);
}

#ifdef SELFREFINE_DOT_PAIRS
double dot_rate(int64_t rounds, float* sink) {
  *sink = run(rounds, [](Vec a, Vec b, Vec c) __attribute__((always_inline)) { return dot_pairs(a, b, c); });
  return 4.0 * kWidth * kChains * static_cast<double>(rounds);
}
constexpr auto dot_kernel = &dot_rate;
#else
constexpr double (*dot_kernel)(int64_t, float*) = nullptr;
#endif

void read(const float* memory, int64_t n, float* sink) {
  Vec sums[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int j = 0; j < 4; ++j) sums[j] = max(load(memory + i + j * kWidth), sums[j]);
  }
  for_lanes(n - i, [&](int64_t j, int lanes) { sums[0] = max(load_n(memory + i + j, lanes), sums[0]); });
  *sink = reduce_max(max(max(sums[0], sums[1]), max(sums[2], sums[3])));
}

void copy(const float* from, float* to, int64_t n) {
  for_lanes(n, [&](int64_t i, int lanes) { store_n(to + i, load_n(from + i, lanes), lanes); });
}

constexpr PeakKernels table = {&fma_rate, dot_kernel, &read, &copy};

}  // namespace peak
SELFREFINE_ISA_END
