// The norms on the GPU: which kernel for which size, and the sums of weight gradients over its blocks.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/partials.cuh"
#include "kernels/rmsnorm/cuda_heads.cuh"
#include "kernels/rmsnorm/cuda_rows.cuh"
#include "kernels/rmsnorm/cuda_wide.cuh"

namespace selfrefine {

namespace {

using namespace cuda;

/// Blocks that stay for many rows, at most `wanted`: all run at once, so that none waits for the others to end.
unsigned staying_blocks(int64_t wanted, int threads, int multiprocessors) {
  const int64_t running = int64_t{multiprocessors} * std::max(1, kStayingThreads / threads);
  return static_cast<unsigned>(std::min(wanted, running));
}

/// A hidden row as one query head.
NormHeads as_heads(const Tensor& x) { return {x.dim(0), 1, 1, 1, static_cast<int>(x.dim(1))}; }

template <typename Op>
NormHeads heads_of(const Op& op) {
  return {op.x.dim(0), op.num_heads + 2 * op.num_kv_heads, op.num_heads, op.num_heads + op.num_kv_heads,
          static_cast<int>(op.x.dim(2))};
}

}  // namespace

void CudaBackend::compute(const RmsNormForward& op) {
  const int64_t n = op.x.dim(0), c = op.x.dim(1);
  if (n == 0) return;
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = op.out.as<T>();
    const T *x = op.x.as<T>(), *weight = op.weight.as<T>();
    float* rstd = op.rstd.as<float>();
    const unsigned blocks = static_cast<unsigned>(n);
    if (c > kForwardColumns) {
      LAUNCH(norm_wide_kernel<T>, blocks, kWideThreads, 0, stream_, out, rstd, x, weight, weight, as_heads(op.x),
             op.eps);
      return;
    }
    const auto kernel = lanes_packable<T>(c, out, x, weight) ? norm_rows_kernel<T, true> : norm_rows_kernel<T, false>;
    LAUNCH(kernel, blocks, row_threads(c, kForwardSlots), 0, stream_, out, rstd, x, weight, static_cast<int>(c),
           op.eps);
  });
  launched("rmsnorm_forward");
}

void CudaBackend::compute(const RmsNormBackward& op) {
  const int64_t n = op.x.dim(0), c = op.x.dim(1);
  if (n == 0 || c == 0) return;
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const NormGradient<T> at{op.dx.as<T>(),       op.dout.as<T>(),   op.dresidual.as<T>(), op.x.as<T>(),
                             op.rstd.as<float>(), op.weight.as<T>(), static_cast<int>(n),  static_cast<int>(c)};
    const bool is_wide = c > kBackwardColumns;
    const int threads = is_wide ? kWideThreads : row_threads(c, 1);
    const unsigned blocks = staying_blocks(n, threads, properties_.multiProcessorCount);
    const int64_t share = is_wide ? 2 * c : c;
    float* partials = scratch_of<float>(Scratch::partials, blocks * share);
    if (is_wide) {
      LAUNCH(norm_wide_backward_kernel<T>, blocks, threads, 0, stream_, at.dx, partials, at.dout, at.dresidual, at.x,
             at.rstd, at.weight, at.weight, as_heads(op.x));
    } else {
      const auto kernel = lanes_packable<T>(c, at.dx, at.dout, at.dresidual, at.x, at.weight)
                              ? norm_rows_backward_kernel<T, true>
                              : norm_rows_backward_kernel<T, false>;
      LAUNCH(kernel, blocks, threads, 0, stream_, at, partials);
    }
    launched("rmsnorm_backward");
    if (op.dweight) add_partials(op.dweight.as<float>(), nullptr, partials, share, blocks, c, stream_);
  });
  launched("rmsnorm_backward");
}

void CudaBackend::compute(const HeadNormForward& op) {
  const NormHeads shape = heads_of(op);
  if (shape.vectors() == 0) return;
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = op.out.as<T>();
    const T *x = op.x.as<T>(), *q_weight = op.q_weight.as<T>(), *k_weight = op.k_weight.as<T>();
    float* rstd = op.rstd.as<float>();
    if (shape.size > kHeadColumns) {
      LAUNCH(norm_wide_kernel<T>, static_cast<unsigned>(shape.vectors()), kWideThreads, 0, stream_, out, rstd, x,
             q_weight, k_weight, shape, op.eps);
      return;
    }
    const int group = group_threads(shape.size), block_heads = kHeadThreads / group * kHeadSteps;
    const auto kernel = lanes_packable<T>(shape.size, out, x, q_weight, k_weight) ? norm_heads_kernel<T, true>
                                                                                  : norm_heads_kernel<T, false>;
    LAUNCH(kernel, blocks_for(shape.vectors(), block_heads), kHeadThreads, 0, stream_, out, rstd, x, q_weight,
           k_weight, shape, op.eps, group);
  });
  launched("head_norm_forward");
}

void CudaBackend::compute(const HeadNormBackward& op) {
  const NormHeads shape = heads_of(op);
  if (shape.vectors() == 0 || shape.size == 0) return;
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* dx = op.dx.as<T>();
    const T *dout = op.dout.as<T>(), *x = op.x.as<T>();
    const T *q_weight = op.q_weight.as<T>(), *k_weight = op.k_weight.as<T>();
    const float* rstd = op.rstd.as<float>();
    const bool is_wide = shape.size > kHeadColumns;
    const int group = group_threads(shape.size), threads = is_wide ? kWideThreads : kHeadThreads;
    const int64_t wanted = is_wide ? shape.vectors() : blocks_for(shape.vectors(), kHeadThreads / group);
    const unsigned blocks = staying_blocks(wanted, threads, properties_.multiProcessorCount);
    float* partials = scratch_of<float>(Scratch::partials, int64_t{blocks} * 2 * shape.size);
    if (is_wide) {
      LAUNCH(norm_wide_backward_kernel<T>, blocks, threads, 0, stream_, dx, partials, dout,
             static_cast<const T*>(nullptr), x, rstd, q_weight, k_weight, shape);
    } else {
      const auto kernel = lanes_packable<T>(shape.size, dx, dout, x, q_weight, k_weight)
                              ? norm_heads_backward_kernel<T, true>
                              : norm_heads_backward_kernel<T, false>;
      LAUNCH(kernel, blocks, threads, 0, stream_, dx, partials, dout, x, rstd, q_weight, k_weight, shape, group);
    }
    launched("head_norm_backward");
    if (!op.dq_weight) return;
    add_partials(op.dq_weight.as<float>(), op.dk_weight.as<float>(), partials, 2 * shape.size, blocks, shape.size,
                 stream_);
  });
  launched("head_norm_backward");
}

}  // namespace selfrefine
