// The second half of a deterministic sum over rows: blocks of a first kernel leave their shares in scratch memory, one
// row of floats each; this adds them up in a fixed order.
#pragma once

#include "cuda/device.cuh"

namespace selfrefine::cuda {

constexpr int kPartialColumns = 32, kPartialSlices = 16;

/// to[c] += sum over r < count of from[r * stride + c], for c < size.
static __global__ void __launch_bounds__(kPartialColumns * kPartialSlices)
    add_partials_kernel(float* to, const float* from, int64_t stride, int64_t count, int64_t size) {
  __shared__ float sums[kPartialSlices][kPartialColumns];
  const int lane = threadIdx.x % kPartialColumns, slice = threadIdx.x / kPartialColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kPartialColumns + lane;
  float sum = 0;
  if (column < size) {
#pragma unroll 8
    for (int64_t r = slice; r < count; r += kPartialSlices) sum += from[r * stride + column];
  }
  sums[slice][lane] = sum;
  __syncthreads();
  if (slice > 0 || column >= size) return;
  for (int s = 1; s < kPartialSlices; ++s) sum += sums[s][lane];
  to[column] += sum;
}

static inline void add_partials(float* to, const float* from, int64_t stride, int64_t count, int64_t size,
                         cudaStream_t stream) {
  if (size == 0 || count == 0) return;
  LAUNCH(add_partials_kernel, static_cast<unsigned>((size + kPartialColumns - 1) / kPartialColumns),
         kPartialColumns * kPartialSlices, 0, stream, to, from, stride, count, size);
}

}  // namespace selfrefine::cuda
