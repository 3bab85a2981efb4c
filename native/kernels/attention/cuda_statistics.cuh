// What attention backward needs of the forward pass for each row and head: log-sum-exp in base 2, and dout.out.
#pragma once

#include "cuda/lanes.cuh"
#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

constexpr int kRowThreads = 256, kRowLanes = 16;

/// The statistics of all rows and heads, 16 threads each.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kRowThreads) attention_statistics_kernel(const AttentionArguments<T> a) {
  const int64_t count = int64_t{a.rows} * a.heads, i = grid_thread() / kRowLanes;
  const int lane = static_cast<int>(threadIdx.x) % kRowLanes;
  const T *dout = a.dout + i * a.d, *out = a.out + i * a.d;
  float sum = 0;
  for (int c = lane * kLanes; i < count && c < a.d; c += kRowLanes * kLanes) {
    const Lanes x = load_lanes<kPacked>(dout + c, a.d - c), y = load_lanes<kPacked>(out + c, a.d - c);
#pragma unroll
    for (int k = 0; k < kLanes; ++k) sum = fmaf(x[k], y[k], sum);
  }
#pragma unroll
  for (int offset = kRowLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullMask, sum, offset);
  if (lane == 0 && i < count) a.statistics[i % a.heads * a.rows + i / a.heads] = make_float2(a.lse[i] * kLog2E, sum);
}

template <typename T>
void launch_statistics(const AttentionArguments<T>& a, cudaStream_t stream) {
  const auto kernel = lanes_packable<T>(a.d, a.dout, a.out) ? attention_statistics_kernel<T, true>
                                                            : attention_statistics_kernel<T, false>;
  LAUNCH(kernel, blocks_for(int64_t{a.rows} * a.heads * kRowLanes, kRowThreads), kRowThreads, 0, stream, a);
}

}  // namespace selfrefine::cuda
