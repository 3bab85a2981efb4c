// The norms of vectors that no registers hold, of sizes that no published model has: a block reads a vector twice, one
// element at a time.
#pragma once

#include "kernels/rmsnorm/cuda_heads.cuh"

namespace selfrefine::cuda {

constexpr int kWideThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kWideThreads)
    norm_wide_kernel(T* out, float* rstd, const T* x, const T* q_weight, const T* k_weight, NormHeads shape,
                     float eps) {
  const int64_t row = blockIdx.x / shape.heads;
  const int head = static_cast<int>(blockIdx.x % shape.heads);
  x += int64_t{blockIdx.x} * shape.size;
  out += int64_t{blockIdx.x} * shape.size;
  if (head >= shape.normed) {
    for (int i = threadIdx.x; i < shape.size; i += kWideThreads) out[i] = x[i];
    return;
  }
  const T* weight = head < shape.queries ? q_weight : k_weight;
  float squares = 0;
  for (int i = threadIdx.x; i < shape.size; i += kWideThreads) squares = fmaf(to_float(x[i]), to_float(x[i]), squares);
  const float scale = 1.0f / sqrtf(block_sum<kWideThreads>(squares) / static_cast<float>(shape.size) + eps);
  if (threadIdx.x == 0) rstd[row * shape.normed + head] = scale;
  for (int i = threadIdx.x; i < shape.size; i += kWideThreads) {
    out[i] = from_float<T>(to_float(x[i]) * scale * to_float(weight[i]));
  }
}

/// partials (gridDim.x, 2, size): each block's share of the gradients of both weights, an element always added to by
/// the same thread.
template <typename T>
__global__ void __launch_bounds__(kWideThreads)
    norm_wide_backward_kernel(T* dx, float* partials, const T* dout, const T* dresidual, const T* x, const float* rstd,
                              const T* q_weight, const T* k_weight, NormHeads shape) {
  partials += blockIdx.x * int64_t{2} * shape.size;
  for (int i = threadIdx.x; i < shape.size; i += kWideThreads) partials[i] = partials[shape.size + i] = 0;
  for (int64_t vector = blockIdx.x; vector < shape.vectors(); vector += gridDim.x) {
    const int64_t row = vector / shape.heads, begin = vector * shape.size;
    const int head = static_cast<int>(vector % shape.heads);
    if (head >= shape.normed) {
      for (int i = threadIdx.x; i < shape.size; i += kWideThreads) dx[begin + i] = dout[begin + i];
      continue;
    }
    const T* weight = head < shape.queries ? q_weight : k_weight;
    float* dweight = head < shape.queries ? partials : partials + shape.size;
    const float scale = rstd[row * shape.normed + head];
    float dot = 0;
    for (int i = threadIdx.x; i < shape.size; i += kWideThreads) {
      const float share = to_float(dout[begin + i]) * to_float(x[begin + i]) * scale;
      dweight[i] += share;
      dot = fmaf(share, to_float(weight[i]), dot);
    }
    const float mean = block_sum<kWideThreads>(dot) / static_cast<float>(shape.size);
    for (int i = threadIdx.x; i < shape.size; i += kWideThreads) {
      const float h = to_float(x[begin + i]) * scale, g = to_float(dout[begin + i]) * to_float(weight[i]);
      const float past = dresidual ? to_float(dresidual[begin + i]) : 0.0f;
      dx[begin + i] = from_float<T>(fmaf(fmaf(-h, mean, g), scale, past));
    }
  }
}

}  // namespace selfrefine::cuda
