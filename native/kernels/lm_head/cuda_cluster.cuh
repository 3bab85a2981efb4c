// The loss head's pass over the logits on sm_90 and newer: a row lies in the registers of a cluster of blocks, so that
// each logit is read once and its gradient written once. Predicted, never measured: with a bfloat16 gradient 6 bytes a
// logit, at a copy rate of 4.3e12 bytes/s 5.4 logits/ns for each of 132 multiprocessors.
// Two blocks of one hold 2 * 512 * 32 logits, 128 KiB, so their rows may take 6.0 us from launch to last store: about
// 1.5 us to read, 1.5 for three barriers of the cluster, 1 for the exponentials (one each), 0.4 for what metrics sum,
// 0.5 to store. In flight: up to 128 KiB of loads, of which Little's law wants 4.3e12 B/s / 132 * 1 us = 33 KB.
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/device.cuh"
#include "cuda/softmax.cuh"
#include "kernels/lm_head/op.h"

namespace selfrefine::cuda {

constexpr int kClusterThreads = 512, kClusterWarps = kClusterThreads / kWarp, kMostCluster = 8;

/// What a block of the cluster has in dynamic shared memory. A sum of the cluster has slots of its own, which the
/// other blocks fill: nobody has to wait until they can be filled again.
struct ClusterMemory {
  float highest[kMostCluster], sums[kMostCluster];    // of each block, written by it
  float moments[kMostCluster], logits[kMostCluster];  // the same, in the first block alone
  float of_warps[4][kClusterWarps];
  float of_target;  // the row's logit of the target
  int32_t target;
};

/// exp(d) d of d = logit - highest, whose exponential is `mass`: 0 where that is, which it is below -104.
__device__ __forceinline__ float moment(float mass, float logit, float highest) {
  return mass * fmaxf(logit - highest, -104.0f);
}

/// A row of `metrics`: with the sums S of exp(d) and K of exp(d) d the entropy is log S - K / S.
__device__ __forceinline__ void write_metrics(float* to, float sum, float moments, bool is_correct, float logits,
                                              int64_t v) {
  to[kEntropy] = logf(sum) - moments / sum;
  to[kIsCorrect] = is_correct && sum > 0 ? 1.0f : 0.0f;  // a NaN among the logits is nobody's
  to[kMeanLogit] = logits / static_cast<float>(v);
}

/// d logp / d logit, where `mass` is exp(logit - highest) and `share` 1 / their sum.
__device__ __forceinline__ float logit_gradient(float mass, float share, bool is_target) {
  return is_target ? 1.0f - mass * share : -share * mass;
}

/// As one access; with kWidth 4 the address must be divisible by that of four elements.
template <int kWidth>
__device__ __forceinline__ void store_some(float* to, const float (&from)[kWidth]) {
  if constexpr (kWidth == 1) *to = from[0];
  else *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}
template <int kWidth>
__device__ __forceinline__ void store_some(bfloat16* to, const float (&from)[kWidth]) {
  if constexpr (kWidth == 1) {
    *to = from_float<bfloat16>(from[0]);
  } else {
    struct alignas(8) Four {
      __nv_bfloat162 low, high;
    };
    *reinterpret_cast<Four*>(to) = {__floats2bfloat162_rn(from[0], from[1]), __floats2bfloat162_rn(from[2], from[3])};
  }
}

/// The logits of a thread, -infinity beyond the row. Access k of the row's thread t (of all blocks) is at
/// (k threads + t) kWidth: every block has its share of any row.
template <int kBlocks, int kWidth, int kFloats>
struct RowShare {
  static constexpr int kAccesses = kFloats / kWidth;
  static constexpr int32_t kStep = kBlocks * kClusterThreads * kWidth;
  float values[kAccesses][kWidth];

  /// `row`: from this thread's first logit on, `size` of them in the row.
  __device__ __forceinline__ RowShare(const float* row, int32_t size) {
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) {
      if (k * kStep < size) {
        load_some<kWidth>(values[k], row + k * kStep);
      } else {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) values[k][j] = -INFINITY;
      }
    }
  }

  __device__ __forceinline__ float highest() const {
    float highest = -INFINITY;
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) highest = fmaxf(highest, values[k][j]);
    }
    return highest;
  }

  /// The sum of the logits, `size` of which the row has from this thread's first on.
  __device__ __forceinline__ float sum(int32_t size) const {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) {
      if (k * kStep >= size) break;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum += values[k][j];
    }
    return sum;
  }

  /// Logits become exp(logit - highest), whose sum is returned; `moments` is that of moment(). NaN makes both NaN, and
  /// so does a row of -infinity.
  __device__ __forceinline__ float exponentiate(float highest, float& moments) {
    float sum = 0;
    moments = 0;
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float logit = values[k][j];
        sum += values[k][j] = expf(logit - highest);
        moments += moment(values[k][j], logit, highest);
      }
    }
    return sum;
  }

  /// From exponentials: to = 1[target] - p, where share = 1 / their sum; all counted from the first logit.
  template <typename T>
  __device__ __forceinline__ void write_gradient(T* to, int32_t size, int32_t target, float share) const {
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) {
      if (k * kStep >= size) break;
      float gradient[kWidth];
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        gradient[j] = logit_gradient(values[k][j], share, k * kStep + j == target);
      }
      store_some(to + k * kStep, gradient);
    }
  }
};

/// Combines one number of each warp, then of each block, in the order of warps and blocks; all threads get the result.
/// A second number of each warp lies in `more_of_warps`, written by its lane 0: the first block gets their sums of each
/// block in `more_slots`. Slots must not have been used, and all blocks have started. Ends with a barrier of the
/// cluster.
template <int kBlocks, typename Combine>
__device__ __forceinline__ float over_cluster(float of_warp, float* of_warps, float* slots, const float* more_of_warps,
                                              float* more_slots, unsigned rank, const Combine& combine) {
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = of_warp;
  __syncthreads();
  if (threadIdx.x < kBlocks) {
    float own = of_warps[0];
#pragma unroll
    for (int i = 1; i < kClusterWarps; ++i) own = combine(own, of_warps[i]);
    cluster_store(slots + rank, threadIdx.x, own);
  } else if (threadIdx.x == kWarp) {  // of another warp, which has nothing to do
    float own = 0;
#pragma unroll
    for (int i = 0; i < kClusterWarps; ++i) own += more_of_warps[i];
    cluster_store(more_slots + rank, 0, own);
  }
  cluster_arrive();
  cluster_wait();
  float all = slots[0];
#pragma unroll
  for (int i = 1; i < kBlocks; ++i) all = combine(all, slots[i]);
  return all;
}

__device__ __forceinline__ void keep_of_warp(float* of_warps, float value) {
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
}

template <int kBlocks>
__device__ __forceinline__ float sum_of_blocks(const float* slots) {
  float sum = slots[0];
#pragma unroll
  for (int i = 1; i < kBlocks; ++i) sum += slots[i];
  return sum;
}

/// A cluster a row. Unless `dlogits` is null it gets 1[target] - p; it may be the memory of the logits: when the first
/// element is written, all have long been read. `metrics` may be null too; what they need is summed all the same.
/// kFloats: logits of a thread; up to 40 two blocks share a multiprocessor.
template <typename T, int kBlocks, int kWidth, int kFloats>
__global__ void __launch_bounds__(kClusterThreads, kFloats > 40 ? 1 : 2)
    head_row_kernel(float* logps, float* metrics, T* dlogits, const float* logits, const int32_t* targets, int32_t v) {
#if defined(SELFREFINE_HAS_CLUSTERS)
  DYN_SMEM(ClusterMemory, memory);
  cluster_arrive();  // waited for below: all blocks have started
  const unsigned rank = cluster_rank();
  const int64_t row = blockIdx.x / kBlocks;
  const int32_t first = static_cast<int32_t>(rank * kClusterThreads + threadIdx.x) * kWidth;
  const bool notes = threadIdx.x == kClusterThreads - 1;  // what is read early and needed late: registers are few
  const int32_t target = notes ? targets[row] : 0;
  RowShare<kBlocks, kWidth, kFloats> share(logits + row * v + first, v - first);
  if (notes) {
    memory->target = target;
    memory->of_target = logits[row * v + target];
  }
  const float own_highest = warp_max(share.highest());
  keep_of_warp(memory->of_warps[2], warp_sum(share.sum(v - first)));
  cluster_wait();
  const float highest = over_cluster<kBlocks>(own_highest, memory->of_warps[0], memory->highest, memory->of_warps[2],
                                              memory->logits, rank, [](float a, float b) { return fmaxf(a, b); });
  float moments;
  const float own_sum = warp_sum(share.exponentiate(highest, moments));
  keep_of_warp(memory->of_warps[3], warp_sum(moments));
  const float sum = over_cluster<kBlocks>(own_sum, memory->of_warps[1], memory->sums, memory->of_warps[3],
                                          memory->moments, rank, [](float a, float b) { return a + b; });
  // From here on no block touches the memory of another: each may end when it likes.
  if (dlogits != nullptr) {
    share.write_gradient(dlogits + row * v + first, v - first, memory->target - first, 1.0f / sum);
  }
  if (first != 0) return;
  logps[row] = static_cast<float>(static_cast<double>(memory->of_target) - static_cast<double>(highest) -
                                  log(static_cast<double>(sum)));
  if (metrics == nullptr) return;
  write_metrics(metrics + row * kHeadMetrics, sum, sum_of_blocks<kBlocks>(memory->moments),
                memory->of_target >= highest, sum_of_blocks<kBlocks>(memory->logits), v);
#endif
}

template <typename T>
using HeadRowKernel = void (*)(float*, float*, T*, const float*, const int32_t*, int32_t);

/// The kernel for rows of one length, and the blocks of its clusters: functions of the length alone, as its sums are.
template <typename T>
struct RowPlan {
  HeadRowKernel<T> kernel;  // null: no cluster holds such a row
  unsigned blocks;
};

/// 32 logits in a thread let two blocks share a multiprocessor: one reads while the other waits for its cluster. So do
/// 40 (Qwen's 151936 in 8 blocks); with 64 (Gemma's 256000) it is one block.
template <typename T, int kWidth>
RowPlan<T> plan_row(int64_t v) {
  constexpr int64_t kOne = 32 * kClusterThreads, kMost = int64_t{kMostCluster} * kClusterThreads;
  if (v <= kOne) return {head_row_kernel<T, 1, kWidth, 32>, 1};
  if (v <= 2 * kOne) return {head_row_kernel<T, 2, kWidth, 32>, 2};
  if (v <= 4 * kOne) return {head_row_kernel<T, 4, kWidth, 32>, 4};
  if (v <= 32 * kMost) return {head_row_kernel<T, 8, kWidth, 32>, 8};
  if (kWidth > 1 && v <= 40 * kMost) return {head_row_kernel<T, 8, 4, 40>, 8};
  if (v <= 64 * kMost) return {head_row_kernel<T, 8, kWidth, 64>, 8};
  return {nullptr, 0};
}

/// True if queued. Rows lie dense; `metrics` and `dlogits` may be null.
template <typename T>
bool pass_over_rows(float* logps, float* metrics, T* dlogits, const float* logits, const int32_t* targets, int64_t rows,
                    int64_t v, cudaStream_t stream) {
  const RowPlan<T> plan = packable<float>(v, logits, dlogits) ? plan_row<T, 4>(v) : plan_row<T, 1>(v);
  if (plan.kernel == nullptr) return false;
  LAUNCH_CLUSTERS(plan.kernel, plan.blocks, static_cast<unsigned>(rows) * plan.blocks, kClusterThreads,
                  sizeof(ClusterMemory), stream, logps, metrics, dlogits, logits, targets, static_cast<int32_t>(v));
  return true;
}

}  // namespace selfrefine::cuda
