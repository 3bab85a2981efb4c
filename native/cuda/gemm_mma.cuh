// Matrix products of bfloat16 on the tensor cores of sm_80 and up: tiles come by cp.async into a ring of stages in
// shared memory, from there by ldmatrix into the registers of mma. One accumulator takes all of k (or of its part)
// 16 by 16 in order, so the bits of a result do not depend on the tile's shape.
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/ptx.cuh"

namespace selfrefine::cuda {

/// A block computes kM x kN with kWarpsM x kWarpsN warps; kStages x kK of k are in shared memory.
template <int kM, int kN, int kK, int kStages, int kWarpsM, int kWarpsN, int kBlocksPerSm>
struct MmaTile {
  static constexpr int m = kM, n = kN, k = kK, stages = kStages;
  static constexpr int warps_m = kWarpsM, warps_n = kWarpsN, threads = kWarpsM * kWarpsN * kWarp;
  static constexpr int warp_m = kM / kWarpsM, warp_n = kN / kWarpsN;
  static constexpr int blocks_per_sm = kBlocksPerSm;
  static constexpr int stage_elements = (kM + kN) * kK;
  /// Each warp ends its sums 16 rows at a time through shared memory; the pitch spreads rows over the banks.
  static constexpr int slab_pitch = warp_n + 8, slab_floats = 16 * slab_pitch;
  static constexpr int ring_bytes = kStages * stage_elements * 2, slab_bytes = threads / kWarp * slab_floats * 4;
  static constexpr int shared_bytes = ring_bytes > slab_bytes ? ring_bytes : slab_bytes;
  static_assert(warp_m % 16 == 0 && warp_n % 16 == 0 && kK % 16 == 0);
};

/// One operand's part of a stage: kRows rows of kColumns elements as in memory, in 16-byte chunks. A row's chunks are
/// permuted so that 8 rows of one column of chunks, what ldmatrix reads at once, lie in 8 different groups of banks.
template <int kRows, int kColumns, int kThreads, bool kVector>
class MmaPanel {
 public:
  /// `from` is the panel's first element, in a matrix of which `rows` and `columns` are left from there on.
  __device__ __forceinline__ MmaPanel(const bfloat16* from, int64_t pitch, int64_t rows, int64_t columns)
      : from_(from), pitch_(pitch), rows_(static_cast<int>(rows)), columns_(static_cast<int>(columns)) {}

  /// Starts to fetch; what is outside of the matrix becomes 0.
  __device__ __forceinline__ void fetch(bfloat16* shared) const {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int index = static_cast<int>(threadIdx.x) + i * kThreads;
      if (kRows * kChunks % kThreads != 0 && index >= kRows * kChunks) break;
      const int row = index / kChunks, chunk = index % kChunks;
      const bfloat16* at = from_ + row * pitch_ + chunk * 8;
      if constexpr (kVector) {
        const bool valid = row < rows_ && chunk * 8 < columns_;
        cp_async_16(shared + offset(row, chunk), valid ? at : from_, valid);
      } else {
        Pack<bfloat16> pack;
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const bool valid = row < rows_ && chunk * 8 + e < columns_;
          pack.values[e] = valid ? at[e] : from_float<bfloat16>(0.0f);
        }
        store_pack(shared + offset(row, chunk), pack);
      }
    }
  }

  __device__ __forceinline__ void next_rows() {
    from_ += kRows * pitch_;
    rows_ -= kRows;
  }
  __device__ __forceinline__ void next_columns() {
    from_ += kColumns;
    columns_ -= kColumns;
  }

  __device__ static __forceinline__ int offset(int row, int chunk) {
    const int turn = kChunks >= 8 ? row % 8 : row / (8 / kChunks) % kChunks;
    return (row * kChunks + (chunk ^ turn)) * 8;
  }

 private:
  static constexpr int kChunks = kColumns / 8;
  static constexpr int kPerThread = (kRows * kChunks + kThreads - 1) / kThreads;

  const bfloat16* from_;
  int64_t pitch_;
  int rows_, columns_;
};

/// Operand a, (m, k) or if kTransposed (k, m), and its fragments.
template <typename Tile, bool kTransposed, bool kVector>
struct MmaOperandA {
  using Panel = MmaPanel<kTransposed ? Tile::k : Tile::m, kTransposed ? Tile::m : Tile::k, Tile::threads, kVector>;

  __device__ static __forceinline__ Panel panel(const CudaGemm& gemm, int64_t row, int64_t k_begin, int64_t k_end) {
    const bfloat16* a = static_cast<const bfloat16*>(gemm.a);
    if constexpr (kTransposed) return Panel(a + k_begin * gemm.m + row, gemm.m, k_end - k_begin, gemm.m - row);
    else return Panel(a + row * gemm.k + k_begin, gemm.k, gemm.m - row, k_end - k_begin);
  }
  __device__ static __forceinline__ void advance(Panel& panel) {
    if constexpr (kTransposed) panel.next_rows();
    else panel.next_columns();
  }
  /// The 16 x 16 from (row, k) of the tile on.
  __device__ static __forceinline__ void load(uint32_t (&fragment)[4], const bfloat16* shared, int row, int k) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if constexpr (kTransposed) {
      const int at = Panel::offset(k + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2);
      ldmatrix_x4_transposed(fragment, shared + at);
    } else {
      ldmatrix_x4(fragment, shared + Panel::offset(row + lane % 16, k / 8 + lane / 16));
    }
  }
};

/// Operand b, (k, n) or if kTransposed (n, k), and its fragments.
template <typename Tile, bool kTransposed, bool kVector>
struct MmaOperandB {
  using Panel = MmaPanel<kTransposed ? Tile::n : Tile::k, kTransposed ? Tile::k : Tile::n, Tile::threads, kVector>;

  __device__ static __forceinline__ Panel panel(const CudaGemm& gemm, int64_t column, int64_t k_begin, int64_t k_end) {
    const bfloat16* b = static_cast<const bfloat16*>(gemm.b);
    if constexpr (kTransposed) return Panel(b + column * gemm.k + k_begin, gemm.k, gemm.n - column, k_end - k_begin);
    else return Panel(b + k_begin * gemm.n + column, gemm.n, k_end - k_begin, gemm.n - column);
  }
  __device__ static __forceinline__ void advance(Panel& panel) {
    if constexpr (kTransposed) panel.next_columns();
    else panel.next_rows();
  }
  /// The 16 x 16 from (k, column) of the tile on, as the two halves of 8 columns: {b0, b1} and {b0, b1}.
  __device__ static __forceinline__ void load(uint32_t (&fragment)[4], const bfloat16* shared, int column, int k) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if constexpr (kTransposed) {
      const int at = Panel::offset(column + lane / 16 * 8 + lane % 8, k / 8 + lane / 8 % 2);
      ldmatrix_x4(fragment, shared + at);
    } else {
      ldmatrix_x4_transposed(fragment, shared + Panel::offset(k + lane % 16, column / 8 + lane / 16));
    }
  }
};

/// The accumulators of a warp and the fragments of one step of 16 along k.
template <typename Tile, typename A, typename B>
struct MmaWarp {
  static constexpr int kM = Tile::warp_m / 16, kN = Tile::warp_n / 16;
  float sums[kM][kN * 2][4] = {};
  uint32_t a[kM][4], b[kN][4];
  int row, column;  // in the tile

  __device__ __forceinline__ MmaWarp() {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    row = warp / Tile::warps_n * Tile::warp_m;
    column = warp % Tile::warps_n * Tile::warp_n;
  }

  __device__ __forceinline__ void load(const bfloat16* stage, int k) {
#pragma unroll
    for (int i = 0; i < kM; ++i) A::load(a[i], stage, row + i * 16, k);
#pragma unroll
    for (int j = 0; j < kN; ++j) B::load(b[j], stage + Tile::m * Tile::k, column + j * 16, k);
  }

  __device__ __forceinline__ void multiply() {
#pragma unroll
    for (int i = 0; i < kM; ++i) {
#pragma unroll
      for (int j = 0; j < kN * 2; ++j) {
        const uint32_t* half = &b[j / 2][j % 2 * 2];
        mma_m16n8k16(sums[i][j], a[i], half[0], half[1]);
      }
    }
  }

  /// Ends the sums: through `slab`, this warp's own, so that each lane has 8 neighbours of a row.
  __device__ __forceinline__ void finish_all(const GemmTask& task, const TilePosition& position, float* slab) {
    constexpr int kGroups = Tile::warp_n / 8;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < kM; ++i) {
#pragma unroll
      for (int j = 0; j < kN * 2; ++j) {
        float* at = slab + lane / 4 * Tile::slab_pitch + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at) = make_float2(sums[i][j][0], sums[i][j][1]);
        *reinterpret_cast<float2*>(at + 8 * Tile::slab_pitch) = make_float2(sums[i][j][2], sums[i][j][3]);
      }
      __syncwarp();
#pragma unroll
      for (int group = lane; group < 16 * kGroups; group += kWarp) {
        const int slab_row = group / kGroups, slab_column = group % kGroups * 8;
        float neighbours[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) neighbours[e] = slab[slab_row * Tile::slab_pitch + slab_column + e];
        finish<bfloat16>(task, static_cast<int>(blockIdx.y), position.row + row + i * 16 + slab_row,
                         position.column + column + slab_column, neighbours);
      }
      __syncwarp();
    }
  }
};

/// Adds the product of k_begin to k_end of the operands to the warp's sums; the ring is free again when it returns.
template <typename Tile, bool kTransposeA, bool kTransposeB, bool kVector, typename Warp>
__device__ __forceinline__ void add_product(Warp& warp, bfloat16* ring, const CudaGemm& gemm,
                                            const TilePosition& position, int64_t k_begin, int64_t k_end) {
  using A = MmaOperandA<Tile, kTransposeA, kVector>;
  using B = MmaOperandB<Tile, kTransposeB, kVector>;
  const int tiles = static_cast<int>((k_end - k_begin + Tile::k - 1) / Tile::k);
  auto panel_a = A::panel(gemm, position.row, k_begin, k_end);
  auto panel_b = B::panel(gemm, position.column, k_begin, k_end);

  const auto stage_of = [&](int tile) { return ring + tile % Tile::stages * Tile::stage_elements; };
  const auto fetch = [&](int tile) {
    if (tile < tiles) {
      panel_a.fetch(stage_of(tile));
      panel_b.fetch(stage_of(tile) + Tile::m * Tile::k);
      A::advance(panel_a);
      B::advance(panel_b);
    }
    cp_async_commit();  // an empty group too: the waits count groups
  };

#pragma unroll
  for (int tile = 0; tile < Tile::stages - 1; ++tile) fetch(tile);
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<Tile::stages - 2>();
    __syncthreads();  // the stage is there for all warps, and all have read the one that is fetched into now
    fetch(tile + Tile::stages - 1);
#pragma unroll
    for (int k = 0; k < Tile::k; k += 16) {
      warp.load(stage_of(tile), k);
      warp.multiply();
    }
  }
  cp_async_wait<0>();
  __syncthreads();
}

template <typename Tile, bool kTransposeA, bool kTransposeB, bool kVector>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_per_sm)
    gemm_mma(const __grid_constant__ GemmTask task) {
  DYN_SMEM(bfloat16, ring);
  const CudaGemm& gemm = task.gemm;
  const TilePosition position = tile_position<Tile::m, Tile::n>(gemm.m, gemm.n, static_cast<int>(blockIdx.x));
  const int64_t k_begin = static_cast<int64_t>(blockIdx.y) * task.k_per_part;
  const int64_t k_end = min(gemm.k, k_begin + task.k_per_part);
  MmaWarp<Tile, MmaOperandA<Tile, kTransposeA, kVector>, MmaOperandB<Tile, kTransposeB, kVector>> warp;
  add_product<Tile, kTransposeA, kTransposeB, kVector>(warp, ring, gemm, position, k_begin, k_end);
  const int warp_index = static_cast<int>(threadIdx.x) / kWarp;
  warp.finish_all(task, position, reinterpret_cast<float*>(ring) + warp_index * Tile::slab_floats);
}

/// The product of both pairs of operands: `second` is the product of the second pair alone.
template <typename Tile, bool kTransposeB, bool kVector>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_per_sm)
    gemm_mma_pairs(const __grid_constant__ GemmTask task, const __grid_constant__ CudaGemm second) {
  DYN_SMEM(bfloat16, ring);
  MmaWarp<Tile, MmaOperandA<Tile, false, kVector>, MmaOperandB<Tile, kTransposeB, kVector>> warp;
#pragma unroll 1
  for (int pair = 0; pair < 2; ++pair) {  // one body for both: it keeps less in registers
    const CudaGemm& gemm = pair == 0 ? task.gemm : second;
    const auto position = tile_position<Tile::m, Tile::n>(gemm.m, gemm.n, static_cast<int>(blockIdx.x));
    add_product<Tile, false, kTransposeB, kVector>(warp, ring, gemm, position, 0, gemm.k);
  }
  const auto position = tile_position<Tile::m, Tile::n>(task.gemm.m, task.gemm.n, static_cast<int>(blockIdx.x));
  const int warp_index = static_cast<int>(threadIdx.x) / kWarp;
  warp.finish_all(task, position, reinterpret_cast<float*>(ring) + warp_index * Tile::slab_floats);
}

}  // namespace selfrefine::cuda
