// The loss head on the GPU. A chunk's logits are one product, in float32; one pass over each row takes its
// log-probability and, where the loss is known before, its gradient, which feeds two more products. Where the loss is
// taken inside, and on GPUs without clusters, a second pass makes the gradient. A bfloat16 gradient has memory of its
// own, so that its rows lie dense.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "cuda/cuda_backend.h"
#include "cuda/softmax.cuh"
#include "cuda/workspace.h"
#include "kernels/indices.h"
#include "kernels/lm_head/cuda_cluster.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kHeadThreads = 512;
constexpr int kHeadLoads = 4;  // accesses of a thread in flight

/// logps[row] and, unless null, statistics[row] = (highest, 1 / sum). A block a row; which thread adds which logit
/// follows from V alone, so a row's numbers do not depend on its chunk.
template <int kWidth>
__global__ void __launch_bounds__(kHeadThreads)
    head_logps_kernel(float* logps, float2* statistics, const float* logits, const int32_t* targets, int64_t v) {
  const int64_t row = blockIdx.x;
  const float* from = logits + row * v;
  const Softmax all = row_softmax<kHeadThreads, kWidth>(from, v);
  if (threadIdx.x != 0) return;
  const double target = from[targets[row]];
  logps[row] = static_cast<float>(target - static_cast<double>(all.highest) - log(static_cast<double>(all.sum)));
  if (statistics != nullptr) statistics[row] = make_float2(all.highest, 1.0f / all.sum);
}

/// dlogits = dlogp (1[target] - p). With T float it takes the place of the logits: each thread reads what it writes.
/// Grid: (parts of a row, rows).
template <typename T, int kWidth>
__global__ void __launch_bounds__(kHeadThreads)
    head_gradient_kernel(T* dlogits, const float* logits, const float2* statistics, const float* dlogps,
                         const int32_t* targets, int64_t v) {
  const int64_t row = blockIdx.y, target = targets[row];
  const float2 of_row = statistics[row];
  const float highest = of_row.x, share = of_row.y, dlogp = dlogps[row], scale = -dlogp * share;
  const float* from = logits + row * v;
  T* to = dlogits + row * v;
  constexpr int64_t kStep = int64_t{kHeadThreads} * kWidth;
  const int64_t first = int64_t{blockIdx.x} * (kHeadLoads * kStep) + int64_t{threadIdx.x} * kWidth;
  float values[kHeadLoads][kWidth];
#pragma unroll
  for (int k = 0; k < kHeadLoads; ++k) {
    const int64_t i = first + k * kStep;
    if (i >= v) break;
    if constexpr (kWidth == 1) {
      values[k][0] = from[i];
    } else {
#pragma unroll
      for (int j = 0; j < kWidth; j += kPack<float>) {
        const Pack<float> pack = load_pack(from + i + j);
#pragma unroll
        for (int e = 0; e < kPack<float>; ++e) values[k][j + e] = pack.values[e];
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kHeadLoads; ++k) {
    const int64_t i = first + k * kStep;
    if (i >= v) break;
    Pack<T> pack;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float mass = expf(values[k][j] - highest);
      const float value = i + j == target ? dlogp * (1.0f - mass * share) : scale * mass;
      if constexpr (kWidth == 1) to[i] = from_float<T>(value);
      else pack.values[j] = from_float<T>(value);
    }
    if constexpr (kWidth > 1) store_pack(to + i, pack);
  }
}

template <typename T>
void take_gradient(T* dlogits, const float* logits, const float2* statistics, const float* dlogps,
                   const int32_t* targets, int64_t rows, int64_t v, cudaStream_t stream) {
  const bool vector = packable<T>(v, dlogits, logits);
  const int64_t part = int64_t{kHeadThreads} * kHeadLoads * (vector ? kPack<T> : 1);
  const auto kernel = vector ? head_gradient_kernel<T, kPack<T>> : head_gradient_kernel<T, 1>;
  constexpr int64_t kMostRows = 65535;  // of a grid
  for (int64_t begin = 0; begin < rows; begin += kMostRows) {
    const auto count = static_cast<unsigned>(std::min(rows - begin, kMostRows));
    const dim3 grid(static_cast<unsigned>((v + part - 1) / part), count);
    LAUNCH(kernel, grid, kHeadThreads, 0, stream, dlogits + begin * v, logits + begin * v, statistics + begin,
           dlogps + begin, targets + begin, v);
  }
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

/// From the logits of `rows` rows: logps and, unless null, statistics. The logits are left as they are.
void CudaBackend::head_logps(float* logps, float2* statistics, const float* logits, const int32_t* targets,
                             int64_t rows, int64_t v) {
  float* const none = nullptr;
  if (!clusters_ || !cuda::pass_over_rows({logps, statistics}, none, logits, none, targets, rows, v, stream_)) {
    const auto kernel = cuda::packable<float>(v, logits) ? cuda::head_logps_kernel<4> : cuda::head_logps_kernel<1>;
    LAUNCH(kernel, static_cast<unsigned>(rows), cuda::kHeadThreads, 0, stream_, logps, statistics, logits, targets, v);
  }
  launched("lm_head");
}

void CudaBackend::compute(const LmHeadForward& op) {
  const int64_t m = op.x.dim(0), v = op.weight.dim(0);
  expect_in_range("lm_head_forward", "targets", op.targets, 0, v);
  if (m == 0) return;
  const int64_t rows = cuda::head_forward_rows(m, v);
  const int32_t* targets = upload(Table::targets, op.targets.as<int32_t>(), m);
  float* logits = scratch_of<float>(Scratch::logits, rows * v);
  for (int64_t begin = 0; begin < m; begin += rows) {
    const int64_t end = std::min(begin + rows, m);
    head_logits(op.x, op.weight, begin, end, logits);
    head_logps(op.logps.as<float>() + begin, nullptr, logits, targets + begin, end - begin, v);
  }
}

/// dlogits of rows [begin, end) -> dx = dlogits weight, dweight += dlogits^T x unless absent.
void CudaBackend::head_gradient(const LmHeadLoss& op, const void* dlogits, int64_t begin, int64_t end) {
  CudaGemm dx;
  dx.c = op.dx.rows(begin, end).data;
  dx.a = dlogits;
  dx.b = op.weight.data;
  dx.m = end - begin;
  dx.n = op.weight.dim(1);
  dx.k = op.weight.dim(0);
  dx.input_type = dx.output_type = op.x.dtype;
  multiply(dx);
  if (!op.dweight) return;
  CudaGemm dweight;
  dweight.c = op.dweight.data;
  dweight.a = dlogits;
  dweight.b = op.x.rows(begin, end).data;
  dweight.m = op.weight.dim(0);
  dweight.n = op.weight.dim(1);
  dweight.k = end - begin;
  dweight.transpose_a = true;
  dweight.accumulate = true;
  dweight.input_type = op.x.dtype;
  multiply(dweight);
}

/// A copy on the device of so many floats of the host, as they are when the work before is done.
const float* CudaBackend::head_dlogps(float* to, const float* from, int64_t count) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float), cudaMemcpyDefault, stream_),
             "lm_head_loss: dlogps");
  return to;
}

void CudaBackend::compute(const LmHeadLoss& op) {
  const int64_t m = op.x.dim(0), v = op.weight.dim(0);
  expect_in_range("lm_head_loss", "targets", op.targets, 0, v);
  if (m == 0) return;
  const int32_t* targets = upload(Table::targets, op.targets.as<int32_t>(), m);
  int64_t most = 0, begin = 0;
  for (const int64_t end : op.chunk_ends) most = std::max(most, end - std::exchange(begin, end));
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr bool kNarrow = !std::is_same_v<T, float>;
    const int64_t padded = cuda::head_loss_floats(most, v, false);
    float* logits = scratch_of<float>(Scratch::logits, cuda::head_loss_floats(most, v, kNarrow));
    T* dlogits = reinterpret_cast<T*>(kNarrow ? logits + padded : logits);
    float2* statistics = scratch_of<float2>(Scratch::rows, most + (most + 1) / 2);
    float* dlogps_here = reinterpret_cast<float*>(statistics + most);
    begin = 0;
    for (const int64_t end : op.chunk_ends) {
      const int64_t rows = end - begin;
      float* logps = op.logps.as<float>() + begin;
      const auto dlogps = [&] { return head_dlogps(dlogps_here, op.dlogps.as<float>() + begin, rows); };
      head_logits(op.x, op.weight, begin, end, logits);
      const bool in_one_pass = clusters_ && !op.on_chunk &&
                               cuda::pass_over_rows({logps, nullptr}, dlogits, logits, dlogps(), targets + begin, rows,
                                                    v, stream_);
      if (!in_one_pass) {
        head_logps(logps, statistics, logits, targets + begin, rows, v);
        if (op.on_chunk) op.on_chunk(begin, end);
        cuda::take_gradient(dlogits, logits, statistics, dlogps(), targets + begin, rows, v, stream_);
      }
      launched("lm_head_loss");
      head_gradient(op, dlogits, begin, end);
      begin = end;
    }
  });
}

}  // namespace selfrefine
