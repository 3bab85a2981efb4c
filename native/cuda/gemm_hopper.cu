// Which tile of our Hopper kernel computes a matrix product. The bits of a result do not depend on the tile; where the
// sum runs over the rows of a batch it may be in parts, as in gemm.cu.
#include "cuda/gemm_hopper.cuh"

#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/tensor_map.h"

namespace selfrefine {

namespace {

using namespace cuda;

using HopperWide = HopperTile<256, 4>;
using HopperNarrow = HopperTile<128, 6>;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename Tile>
int64_t tiles_of(const CudaGemm& gemm) {
  return ceil_div(gemm.m, Tile::m) * ceil_div(gemm.n, Tile::n);
}

/// Time of all tiles in units of one column of a tile: rounds of the GPU, each with some time that is not multiplying.
/// An estimate, not measured.
template <typename Tile>
int64_t cost_of(const CudaGemm& gemm, int sm_count) {
  constexpr int64_t kOverhead = 32;
  return ceil_div(tiles_of<Tile>(gemm), sm_count) * (Tile::n + kOverhead);
}

/// Boxes of 64 columns and `rows` rows of a row-major matrix.
TensorMap matrix_map(const void* matrix, int64_t rows, int64_t columns, int box_rows) {
  return tensor_map(matrix, {columns, rows}, {columns * 2}, {64, box_rows});
}

template <typename Tile>
HopperTask task_of(const CudaGemm& gemm, int sm_count) {
  HopperTask all;
  all.task.gemm = gemm;
  all.task.k_per_part = gemm.k;
  all.task.packed = packable<bfloat16>(gemm.n, gemm.c, gemm.bias, gemm.residual);
  all.tiles = static_cast<int>(tiles_of<Tile>(gemm));
  if (gemm.transpose_a) {
    constexpr int64_t kShortest = 256, kMost = 32;
    const int64_t parts = std::min({int64_t{sm_count} / all.tiles, kMost, gemm.k / kShortest});
    if (parts > 1) all.task.k_per_part = ceil_div(ceil_div(gemm.k, parts), Tile::k) * Tile::k;
    all.parts = static_cast<int>(ceil_div(gemm.k, all.task.k_per_part));
  }
  all.a = gemm.transpose_a ? matrix_map(gemm.a, gemm.k, gemm.m, Tile::k) : matrix_map(gemm.a, gemm.m, gemm.k, Tile::m);
  all.b = gemm.transpose_b ? matrix_map(gemm.b, gemm.n, gemm.k, Tile::n) : matrix_map(gemm.b, gemm.k, gemm.n, Tile::k);
  return all;
}

template <typename Tile>
auto kernel_of(const CudaGemm& gemm) {
  return gemm.transpose_a   ? gemm_hopper<Tile, true, false>
         : gemm.transpose_b ? gemm_hopper<Tile, false, true>
                            : gemm_hopper<Tile, false, false>;
}

template <typename Tile, typename Partials>
void launch(const CudaGemm& gemm, int sm_count, cudaStream_t stream, const Partials& partials) {
  HopperTask all = task_of<Tile>(gemm, sm_count);
  if (all.parts > 1) all.task.partials = partials(all.parts * gemm.m * gemm.n);
  const auto kernel = kernel_of<Tile>(gemm);
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes),
             "matrix product: shared memory");
  const auto blocks = static_cast<unsigned>(std::min(all.tiles * all.parts, sm_count));
  LAUNCH(kernel, blocks, Tile::threads, Tile::shared_bytes, stream, all);
  if (all.parts > 1) add_parts<bfloat16>(all.task, all.parts, stream);
}

}  // namespace

/// For products of bfloat16 in memory that TMA can read, not too narrow. How many rows a batch has plays no part.
bool CudaBackend::multiply_on_hopper(const CudaGemm& gemm) {
  const int64_t columns_a = gemm.transpose_a ? gemm.m : gemm.k, columns_b = gemm.transpose_b ? gemm.k : gemm.n;
  const bool fits = gemm.input_type == DType::bf16 && packable<bfloat16>(columns_a, gemm.a) &&
                    packable<bfloat16>(columns_b, gemm.b) && gemm.k > 0 && gemm.n >= 32 &&
                    (!gemm.transpose_a || gemm.m >= 32);
  if (!hopper_ || !fits) return false;
  const int sm_count = properties_.multiProcessorCount;
  const auto partials = [&](int64_t elements) { return scratch_of<float>(Scratch::gemm, elements); };
  if (cost_of<HopperWide>(gemm, sm_count) < cost_of<HopperNarrow>(gemm, sm_count)) {
    launch<HopperWide>(gemm, sm_count, stream_, partials);
  } else {
    launch<HopperNarrow>(gemm, sm_count, stream_, partials);
  }
  launched("matrix product");
  return true;
}

}  // namespace selfrefine
