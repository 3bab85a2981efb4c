// The second half of a deterministic sum over rows: blocks of a first kernel leave their shares in scratch memory, one
// row of floats each; this adds them up in a fixed order. They are few and lie in the L2 cache, so that what counts is
// how often a thread waits for memory: once, where they are 320 at most.
#pragma once

#include "cuda/device.cuh"

namespace selfrefine::cuda {

constexpr int kPartialColumns = 32, kPartialSlices = 32;
constexpr int kPartialsInFlight = 10;  // of a thread

/// to[c] += sum over r < count of from[r * stride + c], for c < size; the next `size` columns likewise to `second`,
/// unless that is null.
static __global__ void __launch_bounds__(kPartialColumns * kPartialSlices)
    add_partials_kernel(float* to, float* second, const float* from, int64_t stride, int64_t count, int64_t size) {
  __shared__ float sums[kPartialSlices][kPartialColumns];
  const int lane = threadIdx.x % kPartialColumns, slice = threadIdx.x / kPartialColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kPartialColumns + lane;
  const bool is_column = column < (second ? 2 * size : size);
  float* const at = second && column >= size ? second + (column - size) : to + column;
  const float before = is_column && slice == 0 ? *at : 0.0f;
  float sum = 0;
  for (int64_t r = slice; r < count; r += kPartialSlices * kPartialsInFlight) {
    float shares[kPartialsInFlight];
#pragma unroll
    for (int k = 0; k < kPartialsInFlight; ++k) {
      const int64_t row = r + k * kPartialSlices;
      shares[k] = is_column && row < count ? from[row * stride + column] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kPartialsInFlight; ++k) sum += shares[k];
  }
  sums[slice][lane] = sum;
  __syncthreads();
  if (slice > 0 || !is_column) return;
#pragma unroll
  for (int s = 1; s < kPartialSlices; ++s) sum += sums[s][lane];
  *at = before + sum;
}

static inline void add_partials(float* to, float* second, const float* from, int64_t stride, int64_t count,
                                int64_t size, cudaStream_t stream) {
  const int64_t columns = second ? 2 * size : size;
  if (columns == 0 || count == 0) return;
  LAUNCH(add_partials_kernel, static_cast<unsigned>((columns + kPartialColumns - 1) / kPartialColumns),
         kPartialColumns * kPartialSlices, 0, stream, to, second, from, stride, count, size);
}

}  // namespace selfrefine::cuda
