// Matrix products of bfloat16 on Hopper: one warpgroup brings tiles by TMA into a ring of stages in shared memory, two
// multiply them by wgmma, 64 rows each, and end the sums. Blocks stay and take every gridDim.x-th tile: the next one's
// stages fill while the sums of the last one end. One accumulator takes all of k (or of its part) 16 by 16 in order,
// then all of a second pair of operands, from stages that TMA fills up with zeros.
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/hopper.cuh"

namespace selfrefine::cuda {

/// A block computes 128 x kN at a time.
template <int kN, int kStages>
struct HopperTile {
  static constexpr int m = 128, n = kN, k = 64, stages = kStages;
  static constexpr int threads = 384, consumer_warps = 8, given = 40, taken = 232;  // registers of a thread
  static constexpr int group_elements = 64 * k;  // 64 rows of a, or 64 columns of either operand if transposed
  static constexpr int stage_elements = (m + kN) * k, stage_bytes = stage_elements * 2;
  /// Each warp ends its sums 16 x 32 at a time through shared memory; the pitch spreads rows over the banks.
  static constexpr int slab_columns = 32, slab_pitch = slab_columns + 8, slab_floats = 16 * slab_pitch;
  static constexpr int slabs_at = kStages * stage_bytes, barriers_at = slabs_at + consumer_warps * slab_floats * 4;
  static constexpr int shared_bytes = barriers_at + 2 * kStages * 8;
  static_assert(kN % 64 == 0 && kN <= 256 && shared_bytes <= 227 * 1024 && registers_suffice(threads, given, taken));
};

struct HopperTask {
  GemmTask task;
  int tiles = 0, parts = 1;  // of c; of the sum over k
  TensorMap a, b;            // boxes of 64 columns: as many rows as the tile has, or 64 where these run along k
  TensorMap a2, b2;          // alike, of the second pair if there is one
};

/// One tile of c, and one part of the sum.
template <typename Tile>
struct HopperItem {
  __device__ __forceinline__ HopperItem(const HopperTask& all, int index)
      : part(index / all.tiles),
        position(tile_position<Tile::m, Tile::n>(all.task.gemm.m, all.task.gemm.n, index % all.tiles)),
        k_begin(part * static_cast<int>(all.task.k_per_part)),
        first_steps(
            steps_of(min(static_cast<int>(all.task.k_per_part), static_cast<int>(all.task.gemm.k) - k_begin))),
        steps(first_steps + steps_of(static_cast<int>(all.task.gemm.k2))) {}

  const int part;
  const TilePosition position;
  const int k_begin, first_steps, steps;  // of the first pair; of both

 private:
  static __device__ __forceinline__ int steps_of(int k) { return (k + Tile::k - 1) / Tile::k; }
};

/// The ring in shared memory: a stage is full when its bytes have landed, empty when each warp has multiplied it.
template <typename Tile>
struct HopperRing {
  bfloat16* memory;
  uint64_t *full, *empty;

  __device__ __forceinline__ explicit HopperRing(bfloat16* memory_)
      : memory(memory_), full(reinterpret_cast<uint64_t*>(memory + Tile::barriers_at / 2)),
        empty(full + Tile::stages) {}

  __device__ __forceinline__ bfloat16* stage(int i) const { return memory + i * Tile::stage_elements; }

  /// One thread, before a barrier of the block.
  __device__ __forceinline__ void init() const {
    for (int i = 0; i < Tile::stages; ++i) {
      mbarrier_init(full + i, 1);
      mbarrier_init(empty + i, Tile::consumer_warps);
    }
    mbarrier_fence_init();
  }
};

/// What one thread of the first warpgroup does.
template <typename Tile, bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void produce(const HopperTask& all, const HopperRing<Tile>& ring) {
  RingPlace<Tile::stages> place;
  for (int index = static_cast<int>(blockIdx.x); index < all.tiles * all.parts;
       index += static_cast<int>(gridDim.x)) {
    const HopperItem<Tile> item(all, index);
    const auto [row, column] = item.position;
    for (int step = 0; step < item.steps; ++step, place.advance()) {
      const bool is_second = step >= item.first_steps;
      const TensorMap &map_a = is_second ? all.a2 : all.a, &map_b = is_second ? all.b2 : all.b;
      const int k = is_second ? (step - item.first_steps) * Tile::k : item.k_begin + step * Tile::k;
      bfloat16 *const a = ring.stage(place.stage), *const b = a + Tile::m * Tile::k;
      uint64_t* const full = ring.full + place.stage;
      mbarrier_wait(ring.empty + place.stage, place.parity ^ 1);
      mbarrier_arrive_expect(full, Tile::stage_bytes);
      if constexpr (kTransposeA) {
#pragma unroll
        for (int i = 0; i < Tile::m; i += 64) tma_load(a + i * Tile::k, map_a, full, row + i, k);
      } else {
        tma_load(a, map_a, full, k, row);
      }
      if constexpr (kTransposeB) {
        tma_load(b, map_b, full, k, column);
      } else {
#pragma unroll
        for (int j = 0; j < Tile::n; j += 64) tma_load(b + j * Tile::k, map_b, full, column + j, k);
      }
    }
  }
}

/// A warpgroup's sums of 64 rows of the tile.
template <typename Tile, bool kTransposeA, bool kTransposeB>
struct HopperSums {
  float sums[Tile::n / 2] = {};

  /// Adds the products of a stage; they are under way afterwards.
  __device__ __forceinline__ void multiply(const bfloat16* stage, int group, bool first) {
    constexpr int kBlockBytes = Tile::group_elements * 2;
    constexpr int kStepA = (kTransposeA ? 2048 : 32) >> 4, kStepB = (kTransposeB ? 32 : 2048) >> 4;
    const uint64_t a = wgmma_operand(matrix_address(stage + group * Tile::group_elements), kBlockBytes);
    const uint64_t b = wgmma_operand(matrix_address(stage + Tile::m * Tile::k), kBlockBytes);
    wgmma_fence(sums);
#pragma unroll
    for (int k = 0; k < Tile::k / 16; ++k) {
      wgmma<Tile::n, kTransposeA, !kTransposeB>(sums, a + k * kStepA, b + k * kStepB, !first || k > 0);
    }
    wgmma_commit();
  }

  /// Ends the sums of this warp, 16 rows from `row` on: through `slab`, so that each lane has 8 neighbours of a row.
  __device__ __forceinline__ void finish_all(const GemmTask& task, int part, int row, int column, float* slab) {
    constexpr int kGroups = Tile::slab_columns / 8;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int first = 0; first < Tile::n; first += Tile::slab_columns) {
#pragma unroll
      for (int j = 0; j < kGroups; ++j) {
        const float* d = sums + first / 2 + j * 4;
        float* at = slab + lane / 4 * Tile::slab_pitch + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at) = make_float2(d[0], d[1]);
        *reinterpret_cast<float2*>(at + 8 * Tile::slab_pitch) = make_float2(d[2], d[3]);
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 16 * kGroups; i += kWarp) {
        const int slab_row = (i + lane) / kGroups, slab_column = lane % kGroups * 8;
        float neighbours[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) neighbours[e] = slab[slab_row * Tile::slab_pitch + slab_column + e];
        finish<bfloat16>(task, part, row + slab_row, column + first + slab_column, neighbours);
      }
      __syncwarp();
    }
  }
};

/// What the other two warpgroups do.
template <typename Tile, bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void consume(const HopperTask& all, const HopperRing<Tile>& ring) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp - 4, group = warp / 4;
  const bool elected = threadIdx.x % kWarp == 0;
  float* const slab = reinterpret_cast<float*>(ring.memory + Tile::slabs_at / 2) + warp * Tile::slab_floats;
  HopperSums<Tile, kTransposeA, kTransposeB> mine;
  RingPlace<Tile::stages> place;
  for (int index = static_cast<int>(blockIdx.x); index < all.tiles * all.parts;
       index += static_cast<int>(gridDim.x)) {
    const HopperItem<Tile> item(all, index);
    int before = place.stage;
    for (int step = 0; step < item.steps; ++step, place.advance()) {
      mbarrier_wait(ring.full + place.stage, place.parity);
      mine.multiply(ring.stage(place.stage), group, step == 0);
      if (step > 0) {
        wgmma_wait<1>(mine.sums);  // the stage before is read: its products are done, this one's go on
        if (elected) mbarrier_arrive(ring.empty + before);
      }
      before = place.stage;
    }
    wgmma_wait<0>(mine.sums);
    if (elected) mbarrier_arrive(ring.empty + before);
    mine.finish_all(all.task, item.part, item.position.row + warp * 16, item.position.column, slab);
  }
}

template <typename Tile, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(Tile::threads, 1) gemm_hopper(const __grid_constant__ HopperTask all) {
#if defined(SELFREFINE_ON_HOPPER)
  DYN_SMEM(bfloat16, memory);
  const HopperRing<Tile> ring(memory);
  if (threadIdx.x == 0) {
    tma_prefetch(all.a);
    tma_prefetch(all.b);
    ring.init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<Tile::given>();
    if (threadIdx.x == 0) produce<Tile, kTransposeA, kTransposeB>(all, ring);
  } else {
    take_registers<Tile::taken>();
    consume<Tile, kTransposeA, kTransposeB>(all, ring);
  }
#endif
}

}  // namespace selfrefine::cuda
