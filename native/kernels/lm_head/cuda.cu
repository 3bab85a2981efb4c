// The loss head on the GPU. A chunk's logits are one product, in float32; one pass over each row takes its
// log-probability and the gradient of that, which feeds two more products, whose rows then get the loss's gradient as a
// factor. A bfloat16 gradient has memory of its own, so that its rows lie dense.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"
#include "cuda/softmax.cuh"
#include "cuda/workspace.h"
#include "kernels/indices.h"
#include "kernels/lm_head/cuda_cluster.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kHeadThreads = 512, kScaleThreads = 256;

/// Where clusters are not. A block a row, which reads it for the sum and once more, best from the cache, for the
/// gradient; see head_row_kernel. With T float each thread reads what it writes. Which thread adds which logit follows
/// from V alone, so a row's numbers do not depend on its chunk.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kHeadThreads)
    head_block_kernel(float* logps, float* metrics, T* dlogits, const float* logits, const int32_t* targets,
                      int64_t v) {
  const int64_t row = blockIdx.x, target = targets[row];
  const float* from = logits + row * v;
  const double of_target = from[target];  // before a barrier, after which it may be overwritten
  const Softmax all = row_softmax<kHeadThreads, kWidth>(from, v);
  if (threadIdx.x == 0) {
    logps[row] = static_cast<float>(of_target - static_cast<double>(all.highest) - log(static_cast<double>(all.sum)));
  }
  if (dlogits == nullptr) return;
  const float share = 1.0f / all.sum;
  float moments = 0, sum = 0;
  over_row<kHeadThreads, kWidth>(from, v, [&](int64_t i, const float (&values)[kWidth]) {
    float gradient[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float mass = expf(values[j] - all.highest);
      gradient[j] = logit_gradient(mass, share, i + j == target);
      moments += moment(mass, values[j], all.highest);
      sum += values[j];
    }
    store_some(dlogits + row * v + i, gradient);
  });
  if (metrics == nullptr) return;
  moments = block_sum<kHeadThreads>(moments);
  sum = block_sum<kHeadThreads>(sum);
  if (threadIdx.x > 0) return;
  write_metrics(metrics + row * kHeadMetrics, all.sum, moments, of_target >= static_cast<double>(all.highest), sum, v);
}

/// From the logits of dense rows: logps and, unless null, dlogits and, with these, metrics.
template <typename T>
void take_rows(bool clusters, float* logps, float* metrics, T* dlogits, const float* logits, const int32_t* targets,
               int64_t rows, int64_t v, cudaStream_t stream) {
  if (clusters && pass_over_rows(logps, metrics, dlogits, logits, targets, rows, v, stream)) return;
  const auto kernel = packable<float>(v, logits, dlogits) ? head_block_kernel<T, 4> : head_block_kernel<T, 1>;
  LAUNCH(kernel, static_cast<unsigned>(rows), kHeadThreads, 0, stream, logps, metrics, dlogits, logits, targets, v);
}

/// to = x of n elements, each row of `columns` times its factor.
template <typename T, typename From, bool kPacked>
__global__ void __launch_bounds__(kScaleThreads)
    scale_rows_kernel(T* to, const From* x, const float* factors, int64_t n, int64_t columns) {
  const int64_t i = grid_thread() * kLanes;
  if (i >= n) return;
  Lanes values = load_lanes<kPacked>(x + i, n - i);
  const float factor = factors[quotient(i, columns)];
#pragma unroll
  for (int k = 0; k < kLanes; ++k) {
    values[k] *= kPacked ? factor : factors[quotient(min(i + k, n - 1), columns)];
  }
  store_lanes<kPacked>(to + i, values, n - i);
}

template <typename T, typename From>
void scale_rows(T* to, const From* x, const float* factors, int64_t rows, int64_t columns, cudaStream_t stream) {
  const int64_t n = rows * columns;
  const auto kernel = lanes_packable<T>(columns, to, x) ? scale_rows_kernel<T, From, true>
                                                        : scale_rows_kernel<T, From, false>;
  LAUNCH(kernel, blocks_for(n, kScaleThreads * kLanes), kScaleThreads, 0, stream, to, x, factors, n, columns);
}

}  // namespace

}  // namespace cuda

/// The logits of rows [begin, end).
void CudaBackend::head_logits(const Tensor& x, const Tensor& weight, int64_t begin, int64_t end, float* logits) {
  CudaGemm product;
  product.c = logits;
  product.a = x.rows(begin, end).data;
  product.b = weight.data;
  product.m = end - begin;
  product.n = weight.dim(0);
  product.k = weight.dim(1);
  product.transpose_b = true;
  product.input_type = x.dtype;
  multiply(product);
}

void CudaBackend::compute(const LmHeadForward& op) {
  const int64_t m = op.x.dim(0), v = op.weight.dim(0);
  expect_in_range("lm_head_forward", "targets", op.targets, 0, v);
  if (m == 0) return;
  const int64_t rows = cuda::head_forward_rows(m, v);
  const int32_t* targets = upload(Table::targets, op.targets.as<int32_t>(), m);
  float* logits = scratch_of<float>(Scratch::logits, rows * v);
  float* const none = nullptr;
  for (int64_t begin = 0; begin < m; begin += rows) {
    const int64_t end = std::min(begin + rows, m);
    head_logits(op.x, op.weight, begin, end, logits);
    cuda::take_rows(clusters_, op.logps.as<float>() + begin, none, none, logits, targets + begin, end - begin, v,
                    stream_);
    launched("lm_head_forward");
  }
}

void CudaBackend::compute(const LmHeadRows& op) {
  const int64_t m = op.logits.dim(0), v = op.logits.dim(1);
  expect_in_range("lm_head_rows", "targets", op.targets, 0, v);
  if (m == 0) return;
  const int32_t* targets = upload(Table::targets, op.targets.as<int32_t>(), m);
  visit_device(op.dlogits.dtype, [&](auto zero) {
    cuda::take_rows(clusters_, op.logps.as<float>(), op.metrics.as<float>(), op.dlogits.as<decltype(zero)>(),
                    op.logits.as<float>(), targets, m, v, stream_);
  });
  launched("lm_head_rows");
}

/// Of rows [begin, end): dx = dlogps (dlogits weight) and, unless absent, dweight += dlogits^T (dlogps x). `dlogps` are
/// those of these rows; `area` has room for a float of each element of dx.
void CudaBackend::head_gradient(const LmHeadLoss& op, const void* dlogits, const float* dlogps, float* area,
                                int64_t begin, int64_t end) {
  const int64_t rows = end - begin, c = op.weight.dim(1);
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    CudaGemm dx;
    dx.c = area;
    dx.a = dlogits;
    dx.b = op.weight.data;
    dx.m = rows;
    dx.n = c;
    dx.k = op.weight.dim(0);
    dx.input_type = op.x.dtype;
    multiply(dx);
    cuda::scale_rows(op.dx.as<T>() + begin * c, area, dlogps, rows, c, stream_);
    if (!op.dweight) return;
    T* const x = reinterpret_cast<T*>(area);
    cuda::scale_rows(x, op.x.as<T>() + begin * c, dlogps, rows, c, stream_);
    CudaGemm dweight;
    dweight.c = op.dweight.data;
    dweight.a = dlogits;
    dweight.b = x;
    dweight.m = op.weight.dim(0);
    dweight.n = c;
    dweight.k = rows;
    dweight.transpose_a = true;
    dweight.accumulate = true;
    dweight.input_type = op.x.dtype;
    multiply(dweight);
  });
}

void CudaBackend::compute(const LmHeadLoss& op) {
  const int64_t m = op.x.dim(0), v = op.weight.dim(0), c = op.weight.dim(1);
  expect_in_range("lm_head_loss", "targets", op.targets, 0, v);
  if (m == 0) return;
  const int32_t* targets = upload(Table::targets, op.targets.as<int32_t>(), m);
  int64_t most = 0, begin = 0;
  for (const int64_t end : op.chunk_ends) most = std::max(most, end - std::exchange(begin, end));
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto area = cuda::head_loss_area(most, v, c, !std::is_same_v<T, float>);
    float* logits = scratch_of<float>(Scratch::logits, area.floats);
    float* dlogps = scratch_of<float>(Scratch::rows, most);
    T* dlogits = reinterpret_cast<T*>(logits + area.dlogits);
    begin = 0;
    for (const int64_t end : op.chunk_ends) {
      head_logits(op.x, op.weight, begin, end, logits);
      float* metrics = op.metrics ? op.metrics.as<float>() + begin * kHeadMetrics : nullptr;
      cuda::take_rows(clusters_, op.logps.as<float>() + begin, metrics, dlogits, logits, targets + begin, end - begin,
                      v, stream_);
      launched("lm_head_loss");
      if (op.on_chunk) op.on_chunk(begin, end);
      // From memory that may be the host's, as it is when the work before is done: to be read once.
      const size_t bytes = static_cast<size_t>(end - begin) * sizeof(float);
      check_cuda(cudaMemcpyAsync(dlogps, op.dlogps.as<float>() + begin, bytes, cudaMemcpyDefault, stream_),
                 "lm_head_loss: dlogps");
      head_gradient(op, dlogits, dlogps, logits + area.rows, begin, end);
      begin = end;
    }
    launched("lm_head_loss");
  });
}

}  // namespace selfrefine
