// Attention forward on tensor cores (Dao 2023, "FlashAttention-2"): four warps, each with 16 kRowTiles queries of one
// head, walk over the keys of their tile; the weights go from one product to the next in registers. Values are copied
// while the scores are computed, the next keys while the weights meet the values.
#pragma once

#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

/// The running softmax of this warp's rows, in base 2: highest score (unscaled) and sum of weights.
template <int kM>
struct RunningSoftmax {
  float highest[kM][2], total[kM][2];

  __device__ __forceinline__ RunningSoftmax() {
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      highest[m][0] = highest[m][1] = -INFINITY;
      total[m][0] = total[m][1] = 0;
    }
  }

  /// Scores become weights, relative to the highest so far; `shrink`: by what earlier sums lose. `scale` > 0.
  template <int kN>
  __device__ __forceinline__ void weigh(float (&scores)[kM][kN][4], float (&shrink)[kM][2], float scale) {
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float most = highest[m][half];
#pragma unroll
        for (int n = 0; n < kN; ++n) most = fmaxf(most, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
        most = row_max(most);
        const float base = most == -INFINITY ? 0.0f : most * scale;  // all hidden so far: weights of 0, not NaN
        shrink[m][half] = exp2_approximate(highest[m][half] * scale - base);
        highest[m][half] = most;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[m][n][e] = exp2_approximate(fmaf(scores[m][n][e], scale, -base));
            sum += scores[m][n][e];
          }
        }
        total[m][half] = fmaf(total[m][half], shrink[m][half], sum);
      }
    }
  }

  /// The log-sum-exp of a row, from the totals of all its lanes.
  __device__ __forceinline__ float log_total(int m, int half, float scale) const {
    return highest[m][half] * scale + logf(total[m][half]);
  }
};

template <int kM, int kColumns>
__device__ __forceinline__ void shrink_sums(float (&sums)[kM][kColumns][4], const float (&by)[kM][2]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[m][n][e] *= by[m][e / 2];
    }
  }
}

template <int kDim, int kRowTiles, int kKeys>
struct ForwardShape {
  static constexpr int kThreads = 128, kWarpRows = 16 * kRowTiles, kRows = 4 * kWarpRows;
  static constexpr int kSharedBytes = (kRows + 2 * kKeys) * kLine<kDim> * 2;
};

template <int kDim, int kRowTiles, int kKeys>
__global__ void __launch_bounds__(128) attention_forward_kernel(const AttentionArguments<bfloat16> a) {
  using Shape = ForwardShape<kDim, kRowTiles, kKeys>;
  constexpr int kThreads = Shape::kThreads;
  DYN_SMEM(bfloat16, memory);
  bfloat16* const queries = memory;
  bfloat16* const keys = queries + Shape::kRows * kLine<kDim>;
  bfloat16* const values = keys + kKeys * kLine<kDim>;
  const int head = static_cast<int>(blockIdx.x) % a.heads, kv_head = a.kv_head_of(head);
  const KeySteps steps(a.tiles[blockIdx.x / static_cast<unsigned>(a.heads)], kKeys);
  const int end = steps.tile.end, warp_row = static_cast<int>(threadIdx.x) / kWarp * Shape::kWarpRows;
  const int row = steps.tile.begin + warp_row;  // this warp's first
  bfloat16* const my_queries = queries + warp_row * kLine<kDim>;
  const auto key_rows = a.part(a.heads + kv_head), value_rows = a.part(a.heads + a.kv_heads + kv_head);

  load_tile<kDim, Shape::kRows, kThreads>(queries, a.part(head), steps.tile.begin, end, a.d, a.packed);
  load_tile<kDim, kKeys, kThreads>(keys, key_rows, steps.begin(0), steps.end(0), a.d, a.packed);
  cp_async_commit();
  RunningSoftmax<kRowTiles> softmax;
  float sums[kRowTiles][kDim / 8][4] = {};
  for (int step = 0; step < steps.count; ++step) {
    cp_async_wait<0>();
    __syncthreads();  // the keys are there, and nobody reads the values of the step before
    load_tile<kDim, kKeys, kThreads>(values, value_rows, steps.begin(step), steps.end(step), a.d, a.packed);
    cp_async_commit();
    const bool meets = row < end && !(steps.own(step) && steps.begin(step) >= row + Shape::kWarpRows);
    uint32_t weights[kRowTiles][kKeys / 16][4];
    if (meets) {
      float scores[kRowTiles][kKeys / 8][4] = {};
      multiply_rows<kDim>(scores, my_queries, keys);
      mask_step(scores, a, steps, step, row);
      float shrink[kRowTiles][2];
      softmax.weigh(scores, shrink, a.scale * kLog2E);
      shrink_sums(sums, shrink);
      to_weights(weights, scores);
    }
    cp_async_wait<0>();
    __syncthreads();  // the values are there, and nobody reads the keys of this step
    if (step + 1 < steps.count) {
      load_tile<kDim, kKeys, kThreads>(keys, key_rows, steps.begin(step + 1), steps.end(step + 1), a.d, a.packed);
      cp_async_commit();
    }
    if (meets) accumulate_rows<kDim>(sums, weights, values);
  }
  if (row >= end) return;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& total = softmax.total[m][half];
      total = row_sum(total);
      const int query = row + m * 16 + half * 8 + lane_id() / 4;
      if (lane_id() % 4 == 0 && query < end) {
        a.lse[int64_t{query} * a.heads + head] = softmax.log_total(m, half, a.scale);
      }
    }
  }
  to_tile<kDim>(my_queries, sums, [&](int m, int half) { return 1.0f / softmax.total[m][half]; });
  __syncwarp();
  store_rows<kDim, Shape::kWarpRows, kDim>(a.head_of(a.out, head), my_queries, row, end, 0, a.d, a.packed);
}

}  // namespace selfrefine::cuda
