// The maximum of a row and the sum of its exponentials in one pass, by a block. Which thread adds which element follows
// from the row's size alone, so two runs agree bit for bit and a row does not depend on the others.
#pragma once

#include "cuda/device.cuh"

namespace selfrefine::cuda {

/// exp(logit - highest) summed over some logits, and the highest of them.
struct Softmax {
  float highest = -INFINITY, sum = 0;
};

/// One that has seen nothing changes nothing: exp(-inf - -inf) is not computed.
__device__ __forceinline__ Softmax merge(const Softmax& a, const Softmax& b) {
  const float highest = fmaxf(a.highest, b.highest);
  const float of_a = a.highest == highest ? a.sum : a.sum * expf(a.highest - highest);
  const float of_b = b.highest == highest ? b.sum : b.sum * expf(b.highest - highest);
  return {highest, of_a + of_b};
}

/// NaN makes the sum NaN.
template <int kCount>
__device__ __forceinline__ void add_logits(Softmax& all, const float (&logits)[kCount]) {
  float highest = logits[0];
#pragma unroll
  for (int i = 1; i < kCount; ++i) highest = fmaxf(highest, logits[i]);
  if (highest > all.highest) {
    all.sum *= expf(all.highest - highest);
    all.highest = highest;
  }
  const float base = all.highest == -INFINITY ? 0.0f : all.highest;
#pragma unroll
  for (int i = 0; i < kCount; ++i) all.sum += expf(logits[i] - base);
}

/// kWidth floats as one access; with kWidth 4 the address must be divisible by 16.
template <int kWidth>
__device__ __forceinline__ void load_some(float (&to)[kWidth], const float* from) {
  static_assert(kWidth == 1 || kWidth == kPack<float>);
  if constexpr (kWidth == 1) {
    to[0] = *from;
  } else {
    const Pack<float> pack = load_pack(from);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) to[i] = pack.values[i];
  }
}

/// Calls each(index, values) for the kWidth values at index, over the row, with four loads of a thread in flight.
template <int kThreads, int kWidth, typename Each>
__device__ __forceinline__ void over_row(const float* row, int64_t size, const Each& each) {
  constexpr int kLoads = 4;
  constexpr int64_t kStep = int64_t{kThreads} * kWidth;
  int64_t i = static_cast<int64_t>(threadIdx.x) * kWidth;
  for (; i + (kLoads - 1) * kStep < size; i += kLoads * kStep) {
    float values[kLoads][kWidth];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) load_some<kWidth>(values[k], row + i + k * kStep);
#pragma unroll
    for (int k = 0; k < kLoads; ++k) each(i + k * kStep, values[k]);
  }
  for (; i < size; i += kStep) {
    float values[kWidth];
    load_some<kWidth>(values, row + i);
    each(i, values);
  }
}

/// Of a row of logits, given to every thread of the block.
template <int kThreads, int kWidth>
__device__ __forceinline__ Softmax row_softmax(const float* row, int64_t size) {
  __shared__ Softmax parts[kThreads / kWarp];
  Softmax own;
  over_row<kThreads, kWidth>(row, size, [&](int64_t, const float (&values)[kWidth]) { add_logits(own, values); });
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float highest = __shfl_xor_sync(kFullMask, own.highest, offset);
    own = merge(own, {highest, __shfl_xor_sync(kFullMask, own.sum, offset)});
  }
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = own;
  __syncthreads();
  Softmax all = parts[0];
  for (int i = 1; i < kThreads / kWarp; ++i) all = merge(all, parts[i]);
  return all;
}

}  // namespace selfrefine::cuda
