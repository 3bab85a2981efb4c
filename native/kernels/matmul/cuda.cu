// Linear layers on the GPU: three shapes of the one matrix product, and the column sums of a bias's gradient.
#include "cuda/cuda_backend.h"
#include "cuda/partials.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kSumThreads = 256, kSumWarps = kSumThreads / kWarp;
constexpr int kSumRows = 4;  // of a thread, in flight at once

/// kWidth neighbours of a row, one access.
template <typename T, int kWidth>
struct alignas(kWidth * sizeof(T)) Columns {
  T values[kWidth];
};

/// partials (gridDim.y, columns): each warp of a block adds every 8th row of the block's part, kWidth columns a lane.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kSumThreads)
    column_sums(float* partials, const T* values, int64_t rows, int64_t columns, int64_t rows_per_part) {
  __shared__ float shared[kSumWarps][kWarp * kWidth];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp * kWidth, column = first + lane * kWidth;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * rows_per_part, end = min(rows, begin + rows_per_part);
  float sums[kWidth] = {};
  for (int64_t first_row = begin + warp; column < columns && first_row < end; first_row += kSumWarps * kSumRows) {
    Columns<T, kWidth> loaded[kSumRows] = {};
#pragma unroll
    for (int k = 0; k < kSumRows; ++k) {
      const int64_t row = first_row + k * kSumWarps;
      if (row < end) loaded[k] = *reinterpret_cast<const Columns<T, kWidth>*>(values + row * columns + column);
    }
#pragma unroll
    for (int k = 0; k < kSumRows; ++k) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sums[i] += to_float(loaded[k].values[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) shared[warp][lane * kWidth + i] = sums[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kWarp * kWidth; i += kSumThreads) {
    if (first + i >= columns) break;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kSumWarps; ++w) sum += shared[w][i];
    partials[static_cast<int64_t>(blockIdx.y) * columns + first + i] = sum;
  }
}

/// How the rows are split: enough blocks for the GPU, and at least 64 rows in each part.
int64_t rows_of_part(int64_t rows, int64_t column_blocks, int sm_count) {
  const int64_t wanted = std::max<int64_t>(1, 4 * sm_count / column_blocks);
  return std::max<int64_t>(64, (rows + wanted - 1) / wanted);
}

const void* data_or_null(const Tensor& tensor) { return tensor ? tensor.data : nullptr; }

}  // namespace

}  // namespace cuda

void CudaBackend::compute(const MatmulForward& op) {
  CudaGemm gemm;
  gemm.c = op.out.data;
  gemm.a = op.x.data;
  gemm.b = op.weight.data;
  gemm.bias = cuda::data_or_null(op.bias);
  gemm.residual = cuda::data_or_null(op.residual);
  gemm.m = op.x.dim(0);
  gemm.n = op.weight.dim(0);
  gemm.k = op.weight.dim(1);
  gemm.transpose_b = true;
  gemm.input_type = op.x.dtype;
  gemm.output_type = op.out.dtype;
  multiply(gemm);
}

void CudaBackend::compute(const MatmulBackwardInput& op) {
  CudaGemm gemm;
  gemm.c = op.dx.data;
  gemm.a = op.dout.data;
  gemm.b = op.weight.data;
  gemm.m = op.dout.dim(0);
  gemm.n = op.weight.dim(1);
  gemm.k = op.weight.dim(0);
  gemm.accumulate = op.accumulate;
  gemm.input_type = gemm.output_type = op.dout.dtype;
  multiply(gemm);
}

void CudaBackend::compute(const MatmulBackwardWeight& op) {
  const int64_t rows = op.dout.dim(0), columns = op.dout.dim(1);
  CudaGemm gemm;
  gemm.c = op.dweight.data;
  gemm.a = op.dout.data;
  gemm.b = op.x.data;
  gemm.m = columns;
  gemm.n = op.x.dim(1);
  gemm.k = rows;
  gemm.transpose_a = true;
  gemm.accumulate = true;
  gemm.input_type = op.dout.dtype;
  gemm.output_type = DType::f32;
  multiply(gemm);
  if (!op.dbias || rows == 0 || columns == 0) return;

  visit_device(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* dout = op.dout.as<T>();
    const bool vector = cuda::packable<T>(columns, dout);
    const int64_t width = vector ? cuda::kPack<T> : 1;
    const int64_t blocks = (columns + cuda::kWarp * width - 1) / (cuda::kWarp * width);
    const int64_t rows_per_part = cuda::rows_of_part(rows, blocks, properties_.multiProcessorCount);
    const int64_t parts = (rows + rows_per_part - 1) / rows_per_part;
    float* partials = scratch_of<float>(Scratch::partials, parts * columns);
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(parts));
    const auto kernel = vector ? cuda::column_sums<T, cuda::kPack<T>> : cuda::column_sums<T, 1>;
    LAUNCH(kernel, grid, cuda::kSumThreads, 0, stream_, partials, dout, rows, columns, rows_per_part);
    launched("matmul_backward_weight");
    cuda::add_partials(op.dbias.as<float>(), nullptr, partials, columns, parts, columns, stream_);
    launched("matmul_backward_weight");
  });
}

}  // namespace selfrefine
