// What the attention kernels for Hopper share: tiles that TMA brings, as blocks of 64 columns, and their descriptors.
// One warpgroup brings tiles, the others own 64 rows each; blocks stay and take every gridDim.x-th piece of work. Rows
// behind an interval's end come along, if they exist: of keys the mask hides them, of queries a log-sum of infinity.
#pragma once

#include "cuda/hopper.cuh"
#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

struct HopperAttention {
  AttentionArguments<bfloat16> a;
  int items;                      // tiles times heads
  TensorMap queries, keys, douts;  // of qkv, of qkv, of dout: boxes of 64 columns, one head, a tile's rows
};

/// Places of a block's shared memory, in bytes, handed out one after the other.
constexpr int kLargestShared = 227 * 1024;

/// Stages and their mbarriers: full when all is there, empty when all warps have read it.
template <int kStages_>
struct Gates {
  static constexpr int kStages = kStages_, kBytes = 2 * kStages * 8;
  uint64_t *full, *empty;

  __device__ __forceinline__ explicit Gates(uint64_t* memory) : full(memory), empty(memory + kStages) {}

  __device__ __forceinline__ void init(int fillers, int warps) const {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(full + i, fillers);
      mbarrier_init(empty + i, warps);
    }
  }
  __device__ __forceinline__ void wait_full(const RingPlace<kStages>& at) const {
    mbarrier_wait(full + at.stage, at.parity);
  }
  __device__ __forceinline__ void wait_empty(const RingPlace<kStages>& at) const {
    mbarrier_wait(empty + at.stage, at.parity ^ 1);
  }
  /// The whole warp has read the stage.
  __device__ __forceinline__ void release(const RingPlace<kStages>& at) const {
    if (threadIdx.x % kWarp == 0) mbarrier_arrive(empty + at.stage);
  }
};

/// A tile of kRows rows of one head, kDim wide: kDim / 64 blocks, each kRows lines of 128 bytes.
template <int kDim, int kRows>
struct HopperTileOf {
  static constexpr int kElements = kDim * kRows, kBytes = 2 * kElements, kBlock = 64 * kRows;

  __device__ static __forceinline__ void load(bfloat16* to, const TensorMap& map, uint64_t* full, int head, int row) {
#pragma unroll
    for (int i = 0; i < kDim / 64; ++i) tma_load(to + i * kBlock, map, full, i * 64, head, row);
  }

  /// As an operand whose rows run along m or n, from row `row` on, and columns along k.
  __device__ static __forceinline__ uint64_t rows(const bfloat16* tile, int row = 0) {
    return wgmma_operand(matrix_address(tile + row * 64));
  }
  /// What to add for the i-th 16 along k.
  __device__ static __forceinline__ int row_step(int i) { return (i / 4 * kBlock * 2 + i % 4 * 32) >> 4; }

  /// As an operand whose rows run along k and columns along n.
  __device__ static __forceinline__ uint64_t columns(const bfloat16* tile) {
    return wgmma_operand(matrix_address(tile), kBlock * 2);
  }
  __device__ static __forceinline__ int column_step(int i) { return i * 2048 >> 4; }
};

/// Sums laid out as for mma_m16n8k16, as wgmma takes them.
template <int kN>
__device__ __forceinline__ float (&flat(float (&sums)[1][kN][4]))[kN * 4] {
  return reinterpret_cast<float(&)[kN * 4]>(sums);
}

/// scores = a b^T over kDim: 64 rows of tile A from `row` on, all of tile B. Under way afterwards, as a group.
template <int kDim, typename A, typename B, int kN>
__device__ __forceinline__ void start_scores(float (&scores)[1][kN][4], const bfloat16* a, int row,
                                             const bfloat16* b) {
  const uint64_t left = A::rows(a, row), right = B::rows(b);
#pragma unroll
  for (int i = 0; i < kDim / 16; ++i) {
    wgmma<8 * kN, false, false>(flat(scores), left + A::row_step(i), right + B::row_step(i), i > 0);
  }
  wgmma_commit();
}

/// sums += weights b, the rows of tile B being the weights' columns. Under way afterwards, as a group.
template <typename B, int kN, int kSteps>
__device__ __forceinline__ void start_sums(float (&sums)[1][kN][4], const uint32_t (&weights)[1][kSteps][4],
                                           const bfloat16* b) {
  const uint64_t right = B::columns(b);
#pragma unroll
  for (int i = 0; i < kSteps; ++i) wgmma<8 * kN, true>(flat(sums), weights[0][i], right + B::column_step(i), true);
  wgmma_commit();
}

/// Of the steps of a tile, how many concern the 64 rows from `row` on: the others come last and are all hidden.
__device__ __forceinline__ int steps_for(const KeySteps& steps, int row) {
  const int end = min(row + 64, steps.tile.end);
  if (row >= end) return 0;
  return steps.prefix + (end - steps.tile.own_begin + steps.size - 1) / steps.size;
}

/// Ends a warp's 16 rows: through `slab`, 16 lines of kLine<kDim>, to global memory.
template <int kDim, typename Factor>
__device__ __forceinline__ void store_sums(HeadRows<bfloat16> to, bfloat16* slab, const float (&sums)[1][kDim / 8][4],
                                           int row, int end, const AttentionArguments<bfloat16>& a, Factor factor) {
  to_tile<kDim>(slab, sums, factor);
  __syncwarp();
  store_rows<kDim, 16, kDim>(to, slab, row, end, 0, a.d, a.packed);
  __syncwarp();
}

}  // namespace selfrefine::cuda
