// Which tokens of a row a filter keeps, without sorting: bisection over the logits' bits as integers of the same
// order, with seven thresholds a pass. Sums run in a fixed order and over terms that are not negative, so they grow
// with the set even when rounded, as bisection requires.
#pragma once

#include "cuda/softmax.cuh"

namespace selfrefine::cuda {

constexpr int kPivots = 7;

/// Larger floats have larger orders.
__device__ __forceinline__ uint32_t order_of(float x) {
  const uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);  // both zeros are equal
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// The tokens that the filters so far have left: those above a threshold and, of those at it, the first ones.
struct Kept {
  uint32_t threshold = 0;
  int64_t last_equal = INT64_MAX;
  __device__ __forceinline__ bool has(uint32_t order, int64_t token) const {
    return order > threshold || (order == threshold && token <= last_equal);
  }
};

/// One row: the mass of a token is relative to that of the most likely one.
struct SampleRow {
  const float* logits;
  int64_t size;
  float highest, inverse_temperature;
  __device__ __forceinline__ float mass(float logit) const { return expf((logit - highest) * inverse_temperature); }
};

/// Weights of the kept tokens at or above each pivot, and how many these are; the last element is of all kept tokens.
struct Weighed {
  double weights[kPivots + 1];
  int64_t counts[kPivots + 1];
};

template <int kThreads, int kWidth, bool kByMass>
__device__ __forceinline__ void weigh(Weighed& result, const SampleRow& row, const Kept& kept,
                                      const uint32_t (&pivots)[kPivots]) {
  __shared__ float warp_weights[kPivots + 1][kThreads / kWarp];
  __shared__ int warp_counts[kPivots + 1][kThreads / kWarp];
  float weights[kPivots + 1] = {};
  int counts[kPivots + 1] = {};
  over_row<kThreads, kWidth>(row.logits, row.size, [&](int64_t first, const float (&logits)[kWidth]) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const uint32_t order = order_of(logits[i]);
      const bool is_kept = kept.has(order, first + i);
      const float mass = kByMass && is_kept ? row.mass(logits[i]) : 0.0f;
#pragma unroll
      for (int j = 0; j <= kPivots; ++j) {
        const bool counts_here = is_kept && (j == kPivots || order >= pivots[j % kPivots]);
        counts[j] += counts_here ? 1 : 0;
        if (kByMass) weights[j] += counts_here ? mass : 0.0f;
      }
    }
  });
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int j = 0; j <= kPivots; ++j) {
    if (kByMass) weights[j] = warp_sum(weights[j]);
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) counts[j] += __shfl_xor_sync(kFullMask, counts[j], offset);
    if (lane == 0) {
      warp_weights[j][warp] = weights[j];
      warp_counts[j][warp] = counts[j];
    }
  }
  __syncthreads();
  if (threadIdx.x <= kPivots) {
    double weight = 0;
    int64_t count = 0;
    for (int i = 0; i < kThreads / kWarp; ++i) {
      weight += static_cast<double>(warp_weights[threadIdx.x][i]);
      count += warp_counts[threadIdx.x][i];
    }
    result.weights[threadIdx.x] = kByMass ? weight : static_cast<double>(count);
    result.counts[threadIdx.x] = count;
  }
  __syncthreads();
}

/// Where the prefix ends: the threshold, and how many tokens at it are kept (0 = all).
struct Cut {
  uint32_t threshold;
  int64_t equals;
};

/// The shortest prefix of the kept tokens, by (logit descending, token ascending), whose weight reaches `wanted`: a
/// count, or with kByMass a share of the mass of the kept tokens.
template <int kThreads, int kWidth, bool kByMass>
__device__ __forceinline__ Cut find_cut(const SampleRow& row, const Kept& kept, double wanted) {
  __shared__ Weighed weighed;
  uint32_t low = order_of(-INFINITY), high = order_of(row.highest);
  double above = 0;  // weight and number of the tokens above high, number of those from low on
  int64_t count_above = 0, count_low = 0;
  for (bool is_first = true; is_first || low < high; is_first = false) {
    uint32_t pivots[kPivots];
#pragma unroll
    for (int j = 0; j < kPivots; ++j) {
      // At first around the usual places, which the bits of floats do not know: 16 units below the maximum, 8, 4, ...
      const float below = row.highest - static_cast<float>(1 << (kPivots - 1 - j)) * 0.25f / row.inverse_temperature;
      const uint64_t share = (uint64_t{high - low} * (j + 1) + kPivots) / (kPivots + 1);
      pivots[j] = is_first ? order_of(below) : low + static_cast<uint32_t>(share);
    }
    weigh<kThreads, kWidth, kByMass>(weighed, row, kept, pivots);
    if (is_first) {
      count_low = weighed.counts[kPivots];
      if (kByMass) wanted *= weighed.weights[kPivots];
    }
    int reached = -1;  // the last pivot whose tokens weigh enough
#pragma unroll
    for (int j = 0; j < kPivots; ++j) reached = weighed.weights[j] >= wanted ? j : reached;
#pragma unroll
    for (int j = 0; j < kPivots; ++j) {
      if (j == reached) {
        low = max(low, pivots[j]);
        count_low = weighed.counts[j];
        if (weighed.weights[j] == wanted) return {low, 0};
      }
      if (j == reached + 1) {
        high = pivots[j] - 1;
        above = weighed.weights[j];
        count_above = weighed.counts[j];
      }
    }
    if (count_low - count_above == 1) return {low, 0};  // one token between the bounds, wherever it is
    __syncthreads();
  }
  // All tokens left between the bounds are equal.
  const float logit = __uint_as_float(low & 0x80000000u ? low & 0x7fffffffu : ~low);
  const double equals = ceil((wanted - above) / (kByMass ? static_cast<double>(row.mass(logit)) : 1.0));
  if (!(equals < static_cast<double>(count_low - count_above))) return {low, 0};
  return {low, equals < 1 ? 1 : static_cast<int64_t>(equals)};
}

}  // namespace selfrefine::cuda
