// RMSNorm of the query and key heads of fused q|k|v rows: a head is owned by a group of neighbouring threads, the
// smallest power of two that holds it, eight elements of a thread. Value heads are copied.
#pragma once

#include "cuda/lanes.cuh"
#include "kernels/rmsnorm/cuda_rows.cuh"

namespace selfrefine::cuda {

constexpr int kHeadThreads = 256;
constexpr int kHeadSteps = 2;                        // heads of a group, in flight at once
constexpr int kHeadColumns = kWarp * kLanes;         // at most
static_assert(kHeadColumns <= kHeadThreads, "a thread for each element sums the weight gradients of a block");

/// What is normed: `heads` vectors of `size` a row, the first `queries` with one weight, those up to `normed` with
/// another. A hidden row is the case of one head.
struct NormHeads {
  int64_t rows;
  int heads, queries, normed, size;

  __host__ __device__ int64_t vectors() const { return rows * heads; }
};

inline int group_threads(int64_t size) {
  int threads = 1;
  while (threads * kLanes < size) threads *= 2;
  return threads;
}

__device__ __forceinline__ float group_sum(float value, int group) {
  for (int offset = group / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullMask, value, offset);
  return value;
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kHeadThreads)
    norm_heads_kernel(T* out, float* rstd, const T* x, const T* q_weight, const T* k_weight, NormHeads shape, float eps,
                      int group) {
  const int column = static_cast<int>(threadIdx.x) % group * kLanes, groups = kHeadThreads / group;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * groups * kHeadSteps + threadIdx.x / group;
  RawLanes<T> values[kHeadSteps];
  int count[kHeadSteps];
#pragma unroll
  for (int k = 0; k < kHeadSteps; ++k) {
    const int64_t vector = first + k * groups;
    count[k] = vector < shape.vectors() ? shape.size - column : 0;
    values[k] = load_raw<kPacked>(x + vector * shape.size + column, count[k]);
  }
#pragma unroll
  for (int k = 0; k < kHeadSteps; ++k) {
    const int64_t vector = first + k * groups, row = quotient(vector, shape.heads);
    const int head = static_cast<int>(vector - row * shape.heads);
    const bool is_normed = head < shape.normed;
    Lanes value = to_lanes(values[k]);
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kLanes; ++i) squares = fmaf(value[i], value[i], squares);
    squares = group_sum(squares, group);
    if (is_normed) {
      const float scale = 1.0f / sqrtf(squares / static_cast<float>(shape.size) + eps);
      if (column == 0 && count[k] > 0) rstd[row * shape.normed + head] = scale;
      const Lanes weight = load_lanes<kPacked>((head < shape.queries ? q_weight : k_weight) + column, count[k]);
#pragma unroll
      for (int i = 0; i < kLanes; ++i) value[i] = value[i] * scale * weight[i];
    }
    store_lanes<kPacked>(out + vector * shape.size + column, value, count[k]);
  }
}

/// partials (gridDim.x, 2, size): each block's share of the gradients of both weights.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kHeadThreads, kPacked ? kStayingThreads / kHeadThreads : 1)
    norm_heads_backward_kernel(T* dx, float* partials, const T* dout, const T* x, const float* rstd, const T* q_weight,
                               const T* k_weight, NormHeads shape, int group) {
  __shared__ float shares[2][kHeadThreads * kLanes];
  const int column = static_cast<int>(threadIdx.x) % group * kLanes, groups = kHeadThreads / group;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * groups;
  Lanes dq_weight{}, dk_weight{};
  // Every thread of a warp takes part in its sums, so all groups make the same number of turns.
  for (int64_t turn = static_cast<int64_t>(blockIdx.x) * groups; turn < shape.vectors(); turn += stride) {
    const int64_t vector = turn + threadIdx.x / group, row = quotient(vector, shape.heads);
    const int head = static_cast<int>(vector - row * shape.heads);
    const bool is_query = head < shape.queries, is_normed = head < shape.normed;
    const bool is_moved = vector < shape.vectors() && (is_normed || dx != dout);  // value heads in place stay
    const int count = is_moved ? shape.size - column : 0;
    const int64_t at = vector * shape.size + column;
    Lanes g = load_lanes<kPacked>(dout + at, count), h = load_lanes<kPacked>(x + at, is_normed ? count : 0);
    const Lanes weight = load_lanes<kPacked>((is_query ? q_weight : k_weight) + column, is_normed ? count : 0);
    const float scale = is_normed && count > 0 ? rstd[row * shape.normed + head] : 0.0f;
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      h[i] *= scale;
      const float share = g[i] * h[i];
      dq_weight[i] += is_query ? share : 0.0f;
      dk_weight[i] += is_query ? 0.0f : share;
      dot = fmaf(share, weight[i], dot);
    }
    const float mean = group_sum(dot, group) / static_cast<float>(shape.size);
    if (is_normed) {
#pragma unroll
      for (int i = 0; i < kLanes; ++i) g[i] = (g[i] * weight[i] - h[i] * mean) * scale;
    }
    store_lanes<kPacked>(dx + at, g, count);
  }
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    shares[0][threadIdx.x * kLanes + i] = dq_weight[i];
    shares[1][threadIdx.x * kLanes + i] = dk_weight[i];
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= shape.size) return;
#pragma unroll
  for (int w = 0; w < 2; ++w) {
    float sum = 0;
    for (int i = 0; i < groups; ++i) sum += shares[w][i * group * kLanes + threadIdx.x];
    partials[(blockIdx.x * int64_t{2} + w) * shape.size + threadIdx.x] = sum;
  }
}

}  // namespace selfrefine::cuda
