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
  const auto map_a = [&](const void* a, int64_t k) {
    return gemm.transpose_a ? matrix_map(a, k, gemm.m, Tile::k) : matrix_map(a, gemm.m, k, Tile::m);
  };
  const auto map_b = [&](const void* b, int64_t k) {
    return gemm.transpose_b ? matrix_map(b, gemm.n, k, Tile::n) : matrix_map(b, k, gemm.n, Tile::k);
  };
  all.a = map_a(gemm.a, gemm.k);
  all.b = map_b(gemm.b, gemm.k);
  if (gemm.k2 > 0) {
    all.a2 = map_a(gemm.a2, gemm.k2);
    all.b2 = map_b(gemm.b2, gemm.k2);
  }
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

/// Whether TMA can read both operands of a pair whose sum runs over k.
bool readable(const CudaGemm& gemm, const void* a, const void* b, int64_t k) {
  return packable<bfloat16>(gemm.transpose_a ? gemm.m : k, a) && packable<bfloat16>(gemm.transpose_b ? k : gemm.n, b);
}

}  // namespace

/// For products of bfloat16 in memory that TMA can read, not too narrow. How many rows a batch has plays no part.
bool CudaBackend::multiply_on_hopper(const CudaGemm& gemm) {
  const bool fits = gemm.input_type == DType::bf16 && readable(gemm, gemm.a, gemm.b, gemm.k) &&
                    (gemm.k2 == 0 || readable(gemm, gemm.a2, gemm.b2, gemm.k2)) && gemm.k > 0 && gemm.n >= 32 &&
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
