// RMSNorm of hidden rows: a block owns a row, a thread its eight neighbouring columns (forward: two times eight), and
// each input is read once. Block sizes follow from the row's size alone, and so does the order of its sums.
// Backward, blocks stay for many rows, load the next one before they sum over this one, and keep their share of dweight
// in registers.
#pragma once

#include "cuda/lanes.cuh"

namespace selfrefine::cuda {

constexpr int kRowThreads = 1024;      // at most
constexpr int kStayingThreads = 1024;  // of a multiprocessor, in blocks that stay: 64 registers for each are certain
constexpr int kForwardSlots = 2;
constexpr int64_t kForwardColumns = int64_t{kRowThreads} * kLanes * kForwardSlots;  // at most
constexpr int64_t kBackwardColumns = int64_t{kRowThreads} * kLanes;

inline int row_threads(int64_t columns, int slots) {
  const int64_t threads = (lane_groups(columns) + slots - 1) / slots;
  return static_cast<int>((threads + kWarp - 1) / kWarp * kWarp);
}

/// The sum over the block, given to each thread. Phases 0 and 1 take turns, so that one barrier is enough.
__device__ __forceinline__ float row_sum(float value, int phase) {
  __shared__ float parts[2][kWarp];
  value = warp_sum(value);
  if (blockDim.x == kWarp) return value;
  if (threadIdx.x % kWarp == 0) parts[phase][threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x / kWarp; ++i) sum += parts[phase][i];
  return sum;
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kRowThreads)
    norm_rows_kernel(T* out, float* rstd, const T* x, const T* weight, int columns, float eps) {
  const int64_t begin = blockIdx.x * int64_t{columns};
  RawLanes<T> values[kForwardSlots], weights[kForwardSlots];
#pragma unroll
  for (int s = 0; s < kForwardSlots; ++s) {
    const int column = (threadIdx.x + s * blockDim.x) * kLanes;
    values[s] = load_raw<kPacked>(x + begin + column, columns - column);
    weights[s] = load_raw<kPacked>(weight + column, columns - column);
  }
  float squares = 0;
#pragma unroll
  for (int s = 0; s < kForwardSlots; ++s) {
    const Lanes value = to_lanes(values[s]);
#pragma unroll
    for (int i = 0; i < kLanes; ++i) squares = fmaf(value[i], value[i], squares);
  }
  const float scale = 1.0f / sqrtf(row_sum(squares, 0) / static_cast<float>(columns) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
#pragma unroll
  for (int s = 0; s < kForwardSlots; ++s) {
    const int column = (threadIdx.x + s * blockDim.x) * kLanes;
    const Lanes factor = to_lanes(weights[s]);
    Lanes value = to_lanes(values[s]);
#pragma unroll
    for (int i = 0; i < kLanes; ++i) value[i] = value[i] * scale * factor[i];
    store_lanes<kPacked>(out + begin + column, value, columns - column);
  }
}

template <typename T>
struct NormGradient {
  T* dx;
  const T *dout, *dresidual, *x;  // dresidual may be null; dx may be the memory of it or of dout
  const float* rstd;
  const T* weight;
  int rows, columns;
};

/// A thread's part of what the sum over a row is made of.
template <typename T>
struct GradientRow {
  RawLanes<T> x, dout;
  float rstd;
};

template <bool kPacked, typename T>
__device__ __forceinline__ GradientRow<T> load_row(const NormGradient<T>& at, int row, int64_t offset, int count) {
  return {load_raw<kPacked>(at.x + offset, count), load_raw<kPacked>(at.dout + offset, count), at.rstd[row]};
}

/// partials (gridDim.x, columns): each block's share of dweight.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kRowThreads) norm_rows_backward_kernel(NormGradient<T> at, float* partials) {
  constexpr bool kAhead = kPacked && sizeof(T) < sizeof(float);  // else it would take too many registers
  const int column = threadIdx.x * kLanes, count = at.columns - column, rows_apart = gridDim.x;
  const int64_t apart = rows_apart * int64_t{at.columns};
  const RawLanes<T> weight = load_raw<kPacked>(at.weight + column, count);
  Lanes dweight{};
  int row = blockIdx.x, phase = 0;
  int64_t offset = row * int64_t{at.columns} + column;
  GradientRow<T> now = load_row<kPacked>(at, row, offset, count);
  while (true) {
    const bool is_last = row + rows_apart >= at.rows;
    const Lanes factor = to_lanes(weight);
    RawLanes<T> residual{};
    if (at.dresidual) residual = load_raw<kPacked>(at.dresidual + offset, count);
    GradientRow<T> next{};
    if (kAhead && !is_last) next = load_row<kPacked>(at, row + rows_apart, offset + apart, count);
    Lanes h = to_lanes(now.x), g = to_lanes(now.dout);
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      h[i] *= now.rstd;
      dweight[i] = fmaf(g[i], h[i], dweight[i]);
      g[i] *= factor[i];
      dot = fmaf(g[i], h[i], dot);
    }
    const float mean = row_sum(dot, phase) / static_cast<float>(at.columns);
    Lanes dx = to_lanes(residual);
#pragma unroll
    for (int i = 0; i < kLanes; ++i) dx[i] = fmaf(fmaf(-h[i], mean, g[i]), now.rstd, dx[i]);
    store_lanes<kPacked>(at.dx + offset, dx, count);
    if (is_last) break;
    row += rows_apart;
    offset += apart;
    phase ^= 1;
    now = kAhead ? next : load_row<kPacked>(at, row, offset, count);
  }
  store_lanes<kPacked>(partials + blockIdx.x * int64_t{at.columns} + column, dweight, count);
}

}  // namespace selfrefine::cuda
