// What every kernel of a matrix product shares: which part of the sum and of the result a block has, and what becomes
// of a finished sum: bias, residual, the old value of c, the output's type.
#pragma once

#include "cuda/device.cuh"
#include "cuda/gemm.h"

namespace selfrefine::cuda {

/// A product as kernels get it. Blocks count tiles of c by tile_position(), and parts of the sum over k.
struct GemmTask {
  CudaGemm gemm;
  int64_t k_per_part = 0;
  float* partials = nullptr;  // (parts, m, n): where the sum is in parts, they go here, to be added afterwards
  bool packed = false;        // rows of c, bias and residual may be accessed 16 bytes at a time
};

struct TilePosition {
  int row, column;  // of c; 32 bits as registers are scarce: a product has fewer than 2^31 of each
};

/// Tiles in an order that keeps kDepth rows of them, and so their part of a and b, in L2: down the rows of a band
/// first, then to the next column.
template <int kTileM, int kTileN>
__device__ __forceinline__ TilePosition tile_position(int64_t m, int64_t n, int tile) {
  constexpr int kDepth = 8;
  const int rows = static_cast<int>((m + kTileM - 1) / kTileM), columns = static_cast<int>((n + kTileN - 1) / kTileN);
  const int band = tile / (kDepth * columns), in_band = tile % (kDepth * columns);
  const int depth = min(kDepth, rows - band * kDepth);
  return {(band * kDepth + in_band % depth) * kTileM, in_band / depth * kTileN};
}

/// kCount neighbours of a row, as one access of at most 16 bytes each.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T) < 16 ? kCount * sizeof(T) : 16) Neighbours {
  T values[kCount];
};

template <int kCount, typename T>
__device__ __forceinline__ void add_neighbours(float (&sums)[kCount], const T* from, bool packed, int64_t count) {
  if (packed) {
    const auto read = *reinterpret_cast<const Neighbours<T, kCount>*>(from);
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[i] += to_float(read.values[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i < count) sums[i] += to_float(from[i]);
  }
}

template <int kCount, typename T>
__device__ __forceinline__ void store_neighbours(T* to, const float (&sums)[kCount], bool packed, int64_t count) {
  if (packed) {
    Neighbours<T, kCount> written;
#pragma unroll
    for (int i = 0; i < kCount; ++i) written.values[i] = from_float<T>(sums[i]);
    *reinterpret_cast<Neighbours<T, kCount>*>(to) = written;
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i < count) to[i] = from_float<T>(sums[i]);
  }
}

template <typename T, typename Out, int kCount>
__device__ __forceinline__ void finish_as(const GemmTask& task, int64_t row, int64_t column, float (&sums)[kCount]) {
  const CudaGemm& gemm = task.gemm;
  const int64_t count = gemm.n - column, at = row * gemm.n + column;
  Out* c = static_cast<Out*>(gemm.c) + at;
  if (gemm.bias) add_neighbours(sums, static_cast<const T*>(gemm.bias) + column, task.packed, count);
  if (gemm.residual) add_neighbours(sums, static_cast<const Out*>(gemm.residual) + at, task.packed, count);
  if (gemm.accumulate) add_neighbours(sums, c, task.packed, count);
  store_neighbours(c, sums, task.packed, count);
}

/// Ends kCount sums of a row of c from `column` on, those outside of c left out; `part` is theirs of the sum over k.
/// Inputs are of type T.
template <typename T, int kCount>
__device__ __forceinline__ void finish(const GemmTask& task, int part, int64_t row, int64_t column,
                                       float (&sums)[kCount]) {
  const CudaGemm& gemm = task.gemm;
  if (row >= gemm.m || column >= gemm.n) return;
  if (task.partials) {
    float* to = task.partials + (int64_t{part} * gemm.m + row) * gemm.n + column;
    store_neighbours(to, sums, task.packed, gemm.n - column);
  } else if (gemm.output_type == DType::f32) {
    finish_as<T, float>(task, row, column, sums);
  } else {
    finish_as<T, bfloat16>(task, row, column, sums);
  }
}

/// The sums of all parts, in their order, ended as those of a block that has all of k.
template <typename T>
__global__ void __launch_bounds__(256)
    add_parts_kernel(const __grid_constant__ GemmTask task, const float* partials, int parts) {
  constexpr int kCount = 4;
  const int64_t groups = (task.gemm.n + kCount - 1) / kCount;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = index / groups, column = index % groups * kCount;
  if (row >= task.gemm.m) return;
  float sums[kCount] = {};
  for (int part = 0; part < parts; ++part) {
    const float* from = partials + (part * task.gemm.m + row) * task.gemm.n + column;
    add_neighbours(sums, from, task.packed, task.gemm.n - column);
  }
  finish<T>(task, 0, row, column, sums);
}

/// Queues the end of a product whose sums lie in `task.partials`.
template <typename T>
void add_parts(const GemmTask& task, int64_t parts, cudaStream_t stream) {
  GemmTask whole = task;
  whole.partials = nullptr;
  const int64_t groups = task.gemm.m * ((task.gemm.n + 3) / 4);
  LAUNCH(add_parts_kernel<T>, static_cast<unsigned>((groups + 255) / 256), 256, 0, stream, whole, task.partials,
         static_cast<int>(parts));
}

}  // namespace selfrefine::cuda
