// Matrix products on the ordinary float32 units: exact float32 products and sums, in the order of k whatever the tile.
#pragma once

#include "cuda/gemm_epilogue.cuh"

namespace selfrefine::cuda {

/// 256 threads compute a tile of kM x kN, each kM / 16 rows and kN / 16 columns of it, in groups of up to 4 neighbours.
template <int kM, int kN, int kBlocksPerSm>
struct SimtTile {
  static constexpr int m = kM, n = kN, k = 16, threads = 256, blocks_per_sm = kBlocksPerSm;
};

/// The part of one operand that a block needs next: kSize rows (or columns) of c, 16 of k. Goes through registers, so
/// that it is on its way while the last one is computed with, to shared memory as (16, kSize).
template <int kSize, bool kAlongK>
class SimtPanel {
 public:
  static constexpr int kPitch = kSize + 4;  // 16-byte rows that do not all start in one bank

  /// `matrix` is (size, k) if kAlongK, else (k, size); the panel begins at `first` of size and k_begin of k.
  __device__ __forceinline__ SimtPanel(const float* matrix, int64_t size, int64_t k, int64_t first, int64_t k_begin,
                                       int64_t k_end)
      : from_(matrix + (kAlongK ? (first + place_of()) * k + k_begin + k_of()
                                : (k_begin + k_of()) * size + first + place_of())),
        pitch_(kAlongK ? k : size),
        size_left_(static_cast<int>(size - first) - place_of()),
        k_left_(static_cast<int>(k_end - k_begin) - k_of()) {}

  /// Fetches, zeros from outside of the matrix, and moves on along k.
  __device__ __forceinline__ void fetch() {
    const float* at = from_;
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const bool valid = kAlongK ? k_left_ > 0 && i * kStep < size_left_ : size_left_ > 0 && i * kStep < k_left_;
      values_[i] = valid ? *at : 0.0f;
      at += kStep * pitch_;
    }
    from_ += kAlongK ? kDepth : kDepth * pitch_;
    k_left_ -= kDepth;
  }

  __device__ __forceinline__ void store(float* shared) const {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      shared[(k_of() + (kAlongK ? 0 : i * kStep)) * kPitch + place_of() + (kAlongK ? i * kStep : 0)] = values_[i];
    }
  }

 private:
  // Neighbouring threads read neighbouring addresses; a thread's elements lie kStep rows of the matrix apart.
  static constexpr int kDepth = 16, kPerThread = kDepth * kSize / 256, kStep = kAlongK ? 256 / kDepth : 256 / kSize;
  __device__ static int k_of() {
    return kAlongK ? static_cast<int>(threadIdx.x) % kDepth : static_cast<int>(threadIdx.x) / kSize;
  }
  __device__ static int place_of() {
    return kAlongK ? static_cast<int>(threadIdx.x) / kDepth : static_cast<int>(threadIdx.x) % kSize;
  }

  const float* from_;
  int64_t pitch_;
  int size_left_, k_left_;
  float values_[kPerThread];
};

/// Where the i-th of a thread's rows (or columns) is in the tile: groups of kGroup neighbours, 16 threads side by side.
template <int kGroup>
__device__ __forceinline__ int simt_place(int thread, int i) {
  return i / kGroup * 16 * kGroup + thread * kGroup + i % kGroup;
}

/// The sums of one thread.
template <typename Tile>
struct SimtThread {
  static constexpr int kRows = Tile::m / 16, kColumns = Tile::n / 16;
  static constexpr int kRowGroup = kRows < 4 ? kRows : 4, kColumnGroup = kColumns < 4 ? kColumns : 4;

  float sums[kRows][kColumns] = {};

  /// Adds the product of k_begin to k_end of the operands.
  template <bool kTransposeA, bool kTransposeB>
  __device__ __forceinline__ void add_product(const CudaGemm& gemm, const TilePosition& position, int64_t k_begin,
                                              int64_t k_end) {
    using PanelA = SimtPanel<Tile::m, !kTransposeA>;
    using PanelB = SimtPanel<Tile::n, kTransposeB>;
    __shared__ __align__(16) float shared_a[Tile::k * PanelA::kPitch];
    __shared__ __align__(16) float shared_b[Tile::k * PanelB::kPitch];
    PanelA a(static_cast<const float*>(gemm.a), gemm.m, gemm.k, position.row, k_begin, k_end);
    PanelB b(static_cast<const float*>(gemm.b), gemm.n, gemm.k, position.column, k_begin, k_end);
    a.fetch();
    b.fetch();
    for (int64_t k = k_begin; k < k_end; k += Tile::k) {
      a.store(shared_a);
      b.store(shared_b);
      __syncthreads();
      a.fetch();
      b.fetch();
#pragma unroll 4
      for (int kk = 0; kk < Tile::k; ++kk) {
        multiply(shared_a + kk * PanelA::kPitch, shared_b + kk * PanelB::kPitch);
      }
      __syncthreads();
    }
  }

  __device__ __forceinline__ void finish_all(const GemmTask& task, const TilePosition& position) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; j += kColumnGroup) {
        float neighbours[kColumnGroup];
#pragma unroll
        for (int e = 0; e < kColumnGroup; ++e) neighbours[e] = sums[i][j + e];
        finish<float>(task, static_cast<int>(blockIdx.y), position.row + simt_place<kRowGroup>(row(), i),
                      position.column + simt_place<kColumnGroup>(column(), j), neighbours);
      }
    }
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / 16; }
  __device__ static int column() { return static_cast<int>(threadIdx.x) % 16; }

  __device__ __forceinline__ void multiply(const float* a, const float* b) {
    float of_row[kRows], of_column[kColumns];
#pragma unroll
    for (int i = 0; i < kRows; ++i) of_row[i] = a[simt_place<kRowGroup>(row(), i)];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) of_column[j] = b[simt_place<kColumnGroup>(column(), j)];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sums[i][j] = fmaf(of_row[i], of_column[j], sums[i][j]);
    }
  }
};

template <typename Tile, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_per_sm)
    gemm_simt(const __grid_constant__ GemmTask task) {
  const CudaGemm& gemm = task.gemm;
  const TilePosition position = tile_position<Tile::m, Tile::n>(gemm.m, gemm.n, static_cast<int>(blockIdx.x));
  const int64_t k_begin = static_cast<int64_t>(blockIdx.y) * task.k_per_part;
  const int64_t k_end = min(gemm.k, k_begin + task.k_per_part);
  SimtThread<Tile> thread;
  thread.template add_product<kTransposeA, kTransposeB>(gemm, position, k_begin, k_end);
  thread.finish_all(task, position);
}

/// The product of both pairs of operands: `second` is the product of the second pair alone.
template <typename Tile, bool kTransposeB>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_per_sm)
    gemm_simt_pairs(const __grid_constant__ GemmTask task, const __grid_constant__ CudaGemm second) {
  const auto position = tile_position<Tile::m, Tile::n>(task.gemm.m, task.gemm.n, static_cast<int>(blockIdx.x));
  SimtThread<Tile> thread;
  thread.template add_product<false, kTransposeB>(task.gemm, position, 0, task.gemm.k);
  thread.template add_product<false, kTransposeB>(second, position, 0, second.k);
  thread.finish_all(task, position);
}

}  // namespace selfrefine::cuda
