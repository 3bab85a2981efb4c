// Which of our kernels computes a matrix product, and with what tile. The bits of a result depend on its row of a, on b
// and on k alone, not on the choice; only with transpose_a, where the sum runs over the rows of a batch, is it split
// over blocks if c alone has too few tiles for the GPU. The parts are added in order by a second kernel.
#include <type_traits>

#include "cuda/cuda_backend.h"
#include "cuda/gemm_mma.cuh"
#include "cuda/gemm_simt.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename Tile>
int64_t tiles_of(const CudaGemm& gemm) {
  return ceil_div(gemm.m, Tile::m) * ceil_div(gemm.n, Tile::n);
}

/// The product of the second pair of operands alone.
CudaGemm second_pair(const CudaGemm& gemm) {
  CudaGemm second = gemm;
  second.a = gemm.a2;
  second.b = gemm.b2;
  second.k = gemm.k2;
  second.k2 = 0;
  second.bias = second.residual = nullptr;
  return second;
}

// Two of the large tile fit an SM. The others are for few rows (decoding streams the weights: what counts is that many
// blocks have many bytes on their way) and for products that would have too few large ones.
using MmaLarge = MmaTile<128, 128, 32, 4, 2, 4, 2>;
using MmaTall = MmaTile<128, 64, 32, 4, 2, 2, 3>;  // for two pairs of operands, where the large one would spill
using MmaMedium = MmaTile<64, 64, 64, 4, 2, 2, 2>;
using MmaSkinny = MmaTile<32, 32, 64, 6, 1, 2, 4>;
using MmaThin = MmaTile<16, 32, 128, 4, 1, 2, 4>;
using MmaThinnest = MmaTile<16, 16, 128, 5, 1, 1, 4>;
using SimtLarge = SimtTile<128, 128, 1>;
using SimtMedium = SimtTile<64, 64, 2>;
using SimtThin = SimtTile<16, 64, 4>;

/// Chooses and launches the kernels of one product.
class GemmLauncher {
 public:
  /// `partials(elements)` gives device memory for the parts.
  template <typename Partials>
  GemmLauncher(const CudaGemm& gemm, int sm_count, cudaStream_t stream, const Partials& partials)
      : sm_count_(sm_count), stream_(stream) {
    task_.gemm = gemm;
    task_.k_per_part = gemm.k;
    task_.packed = packable<bfloat16>(gemm.n, gemm.c, gemm.bias, gemm.residual);
    parts_ = gemm.transpose_a ? parts_of_sum() : 1;
    if (parts_ > 1) task_.partials = partials(parts_ * gemm.m * gemm.n);
  }

  void launch() {
    const CudaGemm& gemm = task_.gemm;
    if (gemm.input_type == DType::f32) {
      if (gemm.transpose_a) launch_simt<true, false>();
      else if (gemm.transpose_b) launch_simt<false, true>();
      else launch_simt<false, false>();
      if (parts_ > 1) add_parts<float>(task_, parts_, stream_);
    } else {
      if (gemm.transpose_a) launch_mma<true, false>();
      else if (gemm.transpose_b) launch_mma<false, true>();
      else launch_mma<false, false>();
      if (parts_ > 1) add_parts<bfloat16>(task_, parts_, stream_);
    }
  }

 private:
  /// How many parts k is split into; sets k_per_part. Depends on the shape and the GPU only.
  int64_t parts_of_sum() {
    constexpr int64_t kShortest = 256, kMost = 32;
    const int64_t wanted = ceil_div(2 * sm_count_, tiles_of<MmaMedium>(task_.gemm));
    const int64_t parts = std::min({wanted, kMost, task_.gemm.k / kShortest});
    if (parts <= 1) return 1;
    task_.k_per_part = ceil_div(ceil_div(task_.gemm.k, parts), MmaMedium::k) * MmaMedium::k;
    return ceil_div(task_.gemm.k, task_.k_per_part);
  }

  template <bool kTransposeA, bool kTransposeB>
  void launch_mma() {
    const CudaGemm& gemm = task_.gemm;
    const bool vector = packable<bfloat16>(gemm.transpose_a ? gemm.m : gemm.k, gemm.a) &&
                        packable<bfloat16>(gemm.transpose_b ? gemm.k : gemm.n, gemm.b) &&
                        packable<bfloat16>(gemm.k2, gemm.a2) &&
                        packable<bfloat16>(gemm.transpose_b ? gemm.k2 : gemm.n, gemm.b2);
    if (!vector) return start_mma<MmaMedium, kTransposeA, kTransposeB, false>();
    if (gemm.m > 64 && tiles_of<MmaLarge>(gemm) >= sm_count_) {
      return start_mma<MmaLarge, kTransposeA, kTransposeB, true>();
    }
    if constexpr (kTransposeB) {
      if (gemm.m <= 16 && tiles_of<MmaThin>(gemm) >= sm_count_) return start_mma<MmaThin, false, true, true>();
      if (gemm.m <= 16) return start_mma<MmaThinnest, false, true, true>();
      if (gemm.m <= 32 || tiles_of<MmaMedium>(gemm) < sm_count_) return start_mma<MmaSkinny, false, true, true>();
    }
    start_mma<MmaMedium, kTransposeA, kTransposeB, true>();
  }

  template <typename Tile, bool kTransposeA, bool kTransposeB, bool kVector>
  void start_mma() {
    if constexpr (!kTransposeA) {
      using Pairs = std::conditional_t<std::is_same_v<Tile, MmaLarge> && !kTransposeB, MmaTall, Tile>;
      if (task_.gemm.k2 > 0) return start_mma_pairs<Pairs, kTransposeB, kVector>();
    }
    const auto kernel = gemm_mma<Tile, kTransposeA, kTransposeB, kVector>;
    static const cudaError_t allowed =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes);
    check_cuda(allowed, "matrix product: shared memory");
    LAUNCH(kernel, grid_of<Tile>(), Tile::threads, Tile::shared_bytes, stream_, task_);
  }

  template <typename Tile, bool kTransposeB, bool kVector>
  void start_mma_pairs() {
    const auto kernel = gemm_mma_pairs<Tile, kTransposeB, kVector>;
    static const cudaError_t allowed =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes);
    check_cuda(allowed, "matrix product: shared memory");
    LAUNCH(kernel, grid_of<Tile>(), Tile::threads, Tile::shared_bytes, stream_, task_, second_pair(task_.gemm));
  }

  template <bool kTransposeA, bool kTransposeB>
  void launch_simt() {
    const CudaGemm& gemm = task_.gemm;
    if (gemm.m <= 16) return start_simt<SimtThin, kTransposeA, kTransposeB>();
    if (tiles_of<SimtLarge>(gemm) >= sm_count_) return start_simt<SimtLarge, kTransposeA, kTransposeB>();
    start_simt<SimtMedium, kTransposeA, kTransposeB>();
  }

  template <typename Tile, bool kTransposeA, bool kTransposeB>
  void start_simt() {
    if constexpr (!kTransposeA) {
      if (task_.gemm.k2 > 0) {
        const auto kernel = gemm_simt_pairs<Tile, kTransposeB>;
        LAUNCH(kernel, grid_of<Tile>(), Tile::threads, 0, stream_, task_, second_pair(task_.gemm));
        return;
      }
    }
    const auto kernel = gemm_simt<Tile, kTransposeA, kTransposeB>;
    LAUNCH(kernel, grid_of<Tile>(), Tile::threads, 0, stream_, task_);
  }

  template <typename Tile>
  dim3 grid_of() const {
    return {static_cast<unsigned>(tiles_of<Tile>(task_.gemm)), static_cast<unsigned>(parts_)};
  }

  GemmTask task_;
  int64_t parts_ = 1;
  int sm_count_;
  cudaStream_t stream_;
};

}  // namespace

}  // namespace cuda

/// A sample must have the same bits whatever computes a training step, and decoding has few rows, for which mma.sync
/// has its tiles: linear layers of frozen weights are left to it. All others are for cuBLASLt or wgmma, whose sums need
/// not round alike: with few rows too, so that a row's bits do not depend on their number.
bool CudaBackend::is_for_large_kernels(const CudaGemm& gemm) const {
  const bool is_linear_layer = gemm.transpose_b;
  return !(frozen_ && is_linear_layer);
}

/// Two pairs of operands are one product of wgmma where it takes them, even where cuBLASLt is found: as two products,
/// c is written and read once more. A choice by reckoning, not measured.
bool CudaBackend::multiply_pairs(const CudaGemm& gemm) {
  if (!is_for_large_kernels(gemm)) return false;
  if (multiply_on_hopper(gemm)) return true;
  if (!is_apart(gemm)) return false;
  multiply(cuda::second_pair(gemm));  // first: what its rounding costs is small beside the rounding of the whole
  CudaGemm whole = gemm;
  whole.k2 = 0;
  whole.accumulate = true;
  multiply(whole);
  return true;
}

bool CudaBackend::is_apart(const CudaGemm& gemm) const {
  const bool library_may = cublaslt_ != nullptr && gemm.residual == nullptr;
  return !gemm.accumulate && (library_may || hopper_);
}

void CudaBackend::multiply(const CudaGemm& gemm) {
  if (gemm.m == 0 || gemm.n == 0) return;
  if (gemm.transpose_a && gemm.transpose_b) {
    fail(ErrorCode::internal, "matrix product: both operands are transposed, expected at most one");
  }
  if (gemm.transpose_a && gemm.k2 > 0) {
    fail(ErrorCode::internal, "matrix product: two pairs of operands, of which the first is transposed");
  }
  if (gemm.k2 > 0 && multiply_pairs(gemm)) return;
  if (gemm.k2 == 0 && is_for_large_kernels(gemm)) {
    void* const workspace = cublaslt_ ? scratch(Scratch::gemm, CublasLt::kWorkspaceBytes) : nullptr;
    if (cublaslt_ && cublaslt_->multiply(gemm, workspace, stream_)) return;
    if (multiply_on_hopper(gemm)) return;
  }
  const auto partials = [&](int64_t elements) { return scratch_of<float>(Scratch::gemm, elements); };
  cuda::GemmLauncher(gemm, properties_.multiProcessorCount, stream_, partials).launch();
  launched("matrix product");
}

}  // namespace selfrefine
