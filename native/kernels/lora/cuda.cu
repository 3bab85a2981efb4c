// Low-rank adapters on the GPU. The adapters' product is a second pair of operands of the product with the weight, so
// that no output is read again (but where cuBLASLt computes it and wgmma cannot). The b of several adapters are one
// block-diagonal matrix for that: its zeros cost a few columns of a small product.
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kThreads = 256, kMostBlocks = 8;

/// Begin and end of the rows of each adapter; a kernel argument.
struct AdapterRows {
  int64_t begin[kMostBlocks], end[kMostBlocks], first[kMostBlocks];
  int count = 0;

  explicit AdapterRows(const std::vector<int64_t>& blocks) {
    if (blocks.size() > 2 * kMostBlocks) {
      fail(ErrorCode::unsupported, "lora: ", blocks.size() / 2, " adapters of a layer, expected at most ", kMostBlocks);
    }
    for_each_block(blocks, [&](int64_t p, int64_t block_begin, int64_t block_end, int64_t block_first) {
      begin[p] = block_begin;
      end[p] = block_end;
      first[p] = block_first;
      ++count;
    });
  }
};

/// out = x scaled; `n` elements.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads) scale_kernel(T* out, const float* x, float scale, int64_t n) {
  const int64_t i = grid_thread() * kLanes;
  Lanes values = load_lanes<kPacked>(x + i, n - i);
#pragma unroll
  for (int k = 0; k < kLanes; ++k) values[k] *= scale;
  store_lanes<kPacked>(out + i, values, n - i);
}

/// to (rows, count r): row j has b's row in the columns of the adapter that row j is of, and 0 elsewhere.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    expand_kernel(T* to, const T* b, const __grid_constant__ AdapterRows of, int64_t rows, int r) {
  const int64_t index = grid_thread(), columns = int64_t{of.count} * r, row = index / columns;
  if (row >= rows) return;
  const int column = static_cast<int>(index % columns), p = column / r;
  const bool inside = row >= of.begin[p] && row < of.end[p];
  to[index] = inside ? b[(of.first[p] + row - of.begin[p]) * r + column % r] : from_float<T>(0.0f);
}

/// db += the blocks of sums (rows, count r) on its diagonal.
__global__ void __launch_bounds__(kThreads)
    add_blocks_kernel(float* db, const float* sums, const __grid_constant__ AdapterRows of, int64_t rows, int r) {
  const int64_t index = grid_thread(), row = index / r;
  if (row >= rows) return;
  const int column = static_cast<int>(index % r);
  for (int p = 0; p < of.count; ++p) {
    if (row < of.begin[p] || row >= of.end[p]) continue;
    db[(of.first[p] + row - of.begin[p]) * r + column] += sums[row * of.count * r + p * r + column];
  }
}

/// b as the matrix of all `rows` of the output: itself, or block-diagonal in `area`.
template <typename T>
const T* expanded(const Tensor& b, const std::vector<int64_t>& blocks, int64_t rows, T* area, cudaStream_t stream) {
  if (is_whole(blocks, rows)) return b.as<T>();
  const AdapterRows of(blocks);
  const int r = static_cast<int>(b.dim(1));
  LAUNCH(expand_kernel<T>, blocks_for(rows * of.count * r, kThreads), kThreads, 0, stream, area, b.as<T>(), of, rows,
         r);
  return area;
}

/// Floats of scratch, rounded so that what follows is aligned.
int64_t padded(int64_t floats) { return (floats + 63) / 64 * 64; }

}  // namespace

}  // namespace cuda

void CudaBackend::multiply_scaled(const Tensor& out, float* sums, CudaGemm gemm, float scale) {
  gemm.c = sums;
  gemm.output_type = DType::f32;
  multiply(gemm);
  const int64_t n = out.elements();
  visit_device(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool packed = cuda::lanes_packable<T>(n, out.as<T>());
    const auto kernel = packed ? cuda::scale_kernel<T, true> : cuda::scale_kernel<T, false>;
    LAUNCH(kernel, cuda::blocks_for(n, cuda::kThreads * cuda::kLanes), cuda::kThreads, 0, stream_, out.as<T>(), sums,
           scale, n);
  });
}

void CudaBackend::compute(const LoraForward& op) {
  const int64_t n = op.x.dim(0), o = op.weight.dim(0), ranks = op.a.dim(0);
  if (n == 0) return;
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t sums = cuda::padded(n * ranks);
    float* area = scratch_of<float>(Scratch::lora, sums + o * ranks);
    CudaGemm low;
    low.a = op.x.data;
    low.b = op.a.data;
    low.m = n;
    low.n = ranks;
    low.k = op.x.dim(1);
    low.transpose_b = true;
    low.input_type = op.x.dtype;
    multiply_scaled(op.u, area, low, op.scale);

    CudaGemm gemm = low;
    gemm.c = op.out.data;
    gemm.b = op.weight.data;
    gemm.n = o;
    gemm.a2 = op.u.data;
    gemm.b2 = cuda::expanded(op.b, op.blocks, o, reinterpret_cast<T*>(area + sums), stream_);
    gemm.k2 = ranks;
    gemm.bias = op.bias ? op.bias.data : nullptr;
    gemm.residual = op.residual ? op.residual.data : nullptr;
    gemm.output_type = op.x.dtype;
    multiply(gemm);
  });
  launched("lora_forward");
}

void CudaBackend::compute(const LoraBackwardWeight& op) {
  const int64_t n = op.x.dim(0), o = op.dout.dim(1), r = op.b.dim(1), ranks = op.u.dim(1);
  if (n == 0) return;
  const bool whole = is_whole(op.blocks, o);
  visit_device(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t sums = cuda::padded(n * ranks);
    float* area = scratch_of<float>(Scratch::lora, sums + o * ranks);
    CudaGemm low;
    low.a = op.dout.data;
    low.b = cuda::expanded(op.b, op.blocks, o, reinterpret_cast<T*>(area + sums), stream_);
    low.m = n;
    low.n = ranks;
    low.k = o;
    low.input_type = op.x.dtype;
    multiply_scaled(op.du, area, low, op.scale);

    CudaGemm db = low;
    db.c = whole ? op.db.as<float>() : area;
    db.b = op.u.data;
    db.m = o;
    db.k = n;
    db.transpose_a = true;
    db.accumulate = whole;
    multiply(db);
    if (!whole) {
      LAUNCH(cuda::add_blocks_kernel, cuda::blocks_for(o * r, cuda::kThreads), cuda::kThreads, 0, stream_,
             op.db.as<float>(), area, cuda::AdapterRows(op.blocks), o, static_cast<int>(r));
    }

    CudaGemm da = db;
    da.c = op.da.data;
    da.a = op.du.data;
    da.b = op.x.data;
    da.m = ranks;
    da.n = op.x.dim(1);
    da.accumulate = true;
    multiply(da);
  });
  launched("lora_backward_weight");
}

void CudaBackend::compute(const LoraBackwardInput& op) {
  CudaGemm gemm;
  gemm.c = op.dx.data;
  gemm.a = op.dout.data;
  gemm.b = op.weight.data;
  gemm.a2 = op.du.data;
  gemm.b2 = op.a.data;
  gemm.m = op.dx.dim(0);
  gemm.n = op.dx.dim(1);
  gemm.k = op.weight.dim(0);
  gemm.k2 = op.a.dim(0);
  gemm.input_type = gemm.output_type = op.dx.dtype;
  multiply(gemm);
}

}  // namespace selfrefine
