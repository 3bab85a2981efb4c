// Attention backward on Hopper, without atomics: as cuda_backward.cuh, once by blocks that own queries (dq) and once by
// blocks that own keys (dk, dv), with tiles by TMA and products by wgmma. The weights of either go from one product to
// the next in registers.
#pragma once

#include "kernels/attention/cuda_backward.cuh"
#include "kernels/attention/cuda_hopper.cuh"

namespace selfrefine::cuda {

/// Two warpgroups own 64 rows each: of queries, that meet kOthers keys a step, or of keys, that meet kOthers queries.
template <int kDim_, int kOthers_, bool kWindow_>
struct HopperBackward {
  static constexpr bool kWindow = kWindow_;
  static constexpr int kDim = kDim_, kOthers = kOthers_, kRows = 128, kWarps = 8, kThreads = 384, kStages = 3;
  static constexpr int kGiven = 24, kTaken = 240;
  using Own = HopperTileOf<kDim, kRows>;
  using Other = HopperTileOf<kDim, kOthers>;
  using StageGates = Gates<kStages>;
  static constexpr int kStagesAt = 2 * Own::kElements, kStage = 2 * Other::kElements;  // elements
  static constexpr int kSlabsAt = kStagesAt + kStages * kStage, kSlab = 16 * kLine<kDim>;
  static constexpr int kStatisticsAt = kSlabsAt + kWarps * kSlab;
  static constexpr int kGatesAt = kStatisticsAt + kStages * kOthers * 4;
  static constexpr int kSharedBytes = 2 * kGatesAt + Gates<1>::kBytes + StageGates::kBytes;
  static_assert(kSharedBytes <= kLargestShared && registers_suffice(kThreads, kGiven, kTaken));
};

/// A block's shared memory: the two tiles of its own rows, and stages of two tiles of the others'.
template <typename Shape>
struct BackwardMemory {
  bfloat16 *first, *second, *stages, *slabs;
  float2* statistics;
  Gates<1> own_gate;
  typename Shape::StageGates gates;

  __device__ __forceinline__ explicit BackwardMemory(bfloat16* memory)
      : first(memory), second(memory + Shape::Own::kElements), stages(memory + Shape::kStagesAt),
        slabs(memory + Shape::kSlabsAt), statistics(reinterpret_cast<float2*>(memory + Shape::kStatisticsAt)),
        own_gate(reinterpret_cast<uint64_t*>(memory + Shape::kGatesAt)), gates(own_gate.full + 2) {}

  __device__ __forceinline__ bfloat16* first_of(int stage) const { return stages + stage * Shape::kStage; }
  __device__ __forceinline__ bfloat16* second_of(int stage) const { return first_of(stage) + Shape::Other::kElements; }
  __device__ __forceinline__ float2* statistics_of(int stage) const { return statistics + stage * Shape::kOthers; }

  __device__ __forceinline__ void init(int fillers) const {
    own_gate.init(1, Shape::kWarps);
    gates.init(fillers, Shape::kWarps);
    mbarrier_fence_init();
  }
  __device__ __forceinline__ void bring_own(const TensorMap& map_a, int head_a, const TensorMap& map_b, int head_b,
                                            int row, RingPlace<1>& place) const {
    own_gate.wait_empty(place);
    mbarrier_arrive_expect(own_gate.full, 2 * Shape::Own::kBytes);
    Shape::Own::load(first, map_a, own_gate.full, head_a, row);
    Shape::Own::load(second, map_b, own_gate.full, head_b, row);
    place.advance();
  }
  /// Of a stage that is empty.
  __device__ __forceinline__ void bring_others(const TensorMap& map_a, int head_a, const TensorMap& map_b, int head_b,
                                               int row, int stage) const {
    uint64_t* const full = gates.full + stage;
    mbarrier_arrive_expect(full, 2 * Shape::Other::kBytes);
    Shape::Other::load(first_of(stage), map_a, full, head_a, row);
    Shape::Other::load(second_of(stage), map_b, full, head_b, row);
  }
};

/// Brings queries and dout of a tile, and all keys and values it meets. One thread.
template <typename Shape>
__device__ __forceinline__ void bring_for_queries(const HopperAttention& all, const BackwardMemory<Shape>& memory) {
  const auto& a = all.a;
  RingPlace<1> own;
  RingPlace<Shape::kStages> place;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int head = item % a.heads, kv_head = a.kv_head_of(head);
    const KeySteps steps(a.tiles[item / a.heads], Shape::kOthers);
    memory.bring_own(all.queries, head, all.douts, head, steps.tile.begin, own);
    for (int step = 0; step < steps.count; ++step, place.advance()) {
      memory.gates.wait_empty(place);
      memory.bring_others(all.keys, a.heads + kv_head, all.keys, a.heads + a.kv_heads + kv_head, steps.begin(step),
                          place.stage);
    }
  }
}

/// dq of 64 rows of each tile.
template <typename Shape>
__device__ __forceinline__ void sum_for_queries(const HopperAttention& all, const BackwardMemory<Shape>& memory) {
  constexpr int kDim = Shape::kDim, kKeys = Shape::kOthers;
  const auto& a = all.a;
  const int warp = static_cast<int>(threadIdx.x) / kWarp - 4, group_row = warp / 4 * 64;
  RingPlace<1> own;
  RingPlace<Shape::kStages> place;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int head = item % a.heads;
    const KeySteps steps(a.tiles[item / a.heads], kKeys);
    const int end = steps.tile.end, row = steps.tile.begin + warp * 16;
    const int mine = steps_for(steps, steps.tile.begin + group_row);
    float2 statistics[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = row + half * 8 + lane_id() / 4;
      statistics[half] = at < end ? a.statistics[int64_t{head} * a.rows + at] : make_float2(0, 0);
    }
    memory.own_gate.wait_full(own);
    float sums[1][kDim / 8][4] = {};
    for (int step = 0; step < mine; ++step) {
      float scores[1][kKeys / 8][4], dweights[1][kKeys / 8][4];
      const bfloat16 *const keys = memory.first_of(place.stage), *const values = memory.second_of(place.stage);
      memory.gates.wait_full(place);
      wgmma_fence(flat(scores), flat(dweights));
      start_scores<kDim, typename Shape::Own, typename Shape::Other>(scores, memory.first, group_row, keys);
      start_scores<kDim, typename Shape::Own, typename Shape::Other>(dweights, memory.second, group_row, values);
      wgmma_wait<1>(flat(scores));
      mask_step<Shape::kWindow>(scores, a, steps, step, row);
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          scores[0][n][e] = weight_of(scores[0][n][e], a.scale * kLog2E, statistics[e / 2].x);
        }
      }
      wgmma_wait<0>(flat(dweights));
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) scores[0][n][e] *= dweights[0][n][e] - statistics[e / 2].y;
      }
      uint32_t weights[1][kKeys / 16][4];
      to_weights(weights, scores);
      wgmma_fence(flat(sums), weights);
      start_sums<typename Shape::Other>(sums, weights, keys);
      wgmma_wait<0>(flat(sums));
      memory.gates.release(place);
      place.advance();
    }
    memory.own_gate.release(own);
    own.advance();
    for (int step = mine; step < steps.count; ++step, place.advance()) {  // the other warpgroup's keys
      memory.gates.wait_full(place);
      memory.gates.release(place);
    }
    store_sums<kDim>(a.dpart(head), memory.slabs + warp * Shape::kSlab, sums, row, end, a,
                     [&](int, int) { return a.scale; });
  }
}

/// Brings keys and values of a tile, and all queries that meet it, of each head of the group, with dout and
/// statistics. One warp.
template <typename Shape>
__device__ __forceinline__ void bring_for_keys(const HopperAttention& all, const BackwardMemory<Shape>& memory) {
  constexpr int kQueries = Shape::kOthers;
  const auto& a = all.a;
  const int lane = lane_id(), group = a.heads / a.kv_heads;
  RingPlace<1> own;
  RingPlace<Shape::kStages> place;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int kv_head = item % a.kv_heads;
    const WorkTile tile = a.tiles[item / a.kv_heads];
    if (lane == 0) {
      memory.bring_own(all.keys, a.heads + kv_head, all.keys, a.heads + a.kv_heads + kv_head, tile.begin, own);
    }
    for (QuerySteps<kQueries> at(tile, kv_head * group, group); !at.done(); at.advance(), place.advance()) {
      memory.gates.wait_empty(place);
      float2* const statistics = memory.statistics_of(place.stage);
#pragma unroll
      for (int i = lane; i < kQueries; i += kWarp) {
        const int64_t from = int64_t{at.head} * a.rows + at.row + i;
        statistics[i] = at.row + i < at.end ? a.statistics[from] : make_float2(INFINITY, 0);
      }
      if (lane == 0) memory.bring_others(all.queries, at.head, all.douts, at.head, at.row, place.stage);
      else mbarrier_arrive(memory.gates.full + place.stage);
    }
  }
}

/// dk and dv of 64 rows of each tile.
template <typename Shape>
__device__ __forceinline__ void sum_for_keys(const HopperAttention& all, const BackwardMemory<Shape>& memory) {
  constexpr int kDim = Shape::kDim, kQueries = Shape::kOthers;
  const auto& a = all.a;
  const int warp = static_cast<int>(threadIdx.x) / kWarp - 4, group_row = warp / 4 * 64, group = a.heads / a.kv_heads;
  const float scale = a.scale * kLog2E;
  RingPlace<1> own;
  RingPlace<Shape::kStages> place;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int kv_head = item % a.kv_heads;
    const WorkTile tile = a.tiles[item / a.kv_heads];
    const int row = tile.begin + warp * 16, first_key = tile.begin + group_row;
    memory.own_gate.wait_full(own);
    float dkeys[1][kDim / 8][4] = {}, dvalues[1][kDim / 8][4] = {};
    for (QuerySteps<kQueries> at(tile, kv_head * group, group); !at.done(); at.advance(), place.advance()) {
      memory.gates.wait_full(place);
      if (first_key < tile.end && at.row + kQueries > first_key) {
        const bfloat16 *const queries = memory.first_of(place.stage), *const douts = memory.second_of(place.stage);
        const float2* const its = memory.statistics_of(place.stage) + lane_id() % 4 * 2;
        float weights[1][kQueries / 8][4], dweights[1][kQueries / 8][4];
        wgmma_fence(flat(weights), flat(dweights));
        start_scores<kDim, typename Shape::Own, typename Shape::Other>(weights, memory.first, group_row, queries);
        start_scores<kDim, typename Shape::Own, typename Shape::Other>(dweights, memory.second, group_row, douts);
        wgmma_wait<1>(flat(weights));
        if (Shape::kWindow && a.window > 0) {
          mask_scores(weights, [&](int i, int j) {
            const int key = min(row + i, tile.end - 1), query = min(at.row + j, at.end - 1);
            return row + i <= at.row + j && !a.beyond_window(query, key);
          });
        } else if (row + 15 > at.row) {
          mask_scores(weights, [&](int i, int j) { return row + i <= at.row + j; });
        }
        uint32_t operands[1][kQueries / 16][4], doperands[1][kQueries / 16][4];
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            weights[0][n][e] = weight_of(weights[0][n][e], scale, its[n * 8 + e % 2].x);
          }
        }
        to_weights(operands, weights);
        wgmma_fence(flat(dvalues), operands);
        start_sums<typename Shape::Other>(dvalues, operands, douts);
        wgmma_wait<1>(flat(dweights));
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) weights[0][n][e] *= dweights[0][n][e] - its[n * 8 + e % 2].y;
        }
        to_weights(doperands, weights);
        wgmma_fence(flat(dkeys), doperands);
        start_sums<typename Shape::Other>(dkeys, doperands, queries);
        wgmma_wait<0>(flat(dkeys), flat(dvalues));
      }
      memory.gates.release(place);
    }
    memory.own_gate.release(own);
    own.advance();
    bfloat16* const slab = memory.slabs + warp * Shape::kSlab;
    store_sums<kDim>(a.dpart(a.heads + kv_head), slab, dkeys, row, tile.end, a, [&](int, int) { return a.scale; });
    store_sums<kDim>(a.dpart(a.heads + a.kv_heads + kv_head), slab, dvalues, row, tile.end, a,
                     [](int, int) { return 1.0f; });
  }
}

/// Either kernel: kOfQueries sums dq of tiles of queries, else dk and dv of tiles of keys.
template <typename Shape, bool kOfQueries>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    attention_backward_hopper(const __grid_constant__ HopperAttention all) {
#if defined(SELFREFINE_ON_HOPPER)
  DYN_SMEM(bfloat16, shared);
  const BackwardMemory<Shape> memory(shared);
  if (threadIdx.x == 0) {
    tma_prefetch(all.queries);
    tma_prefetch(all.keys);
    tma_prefetch(all.douts);
    memory.init(kOfQueries ? 1 : kWarp);
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<Shape::kGiven>();
    if constexpr (kOfQueries) {
      if (threadIdx.x == 0) bring_for_queries<Shape>(all, memory);
    } else {
      if (threadIdx.x < kWarp) bring_for_keys<Shape>(all, memory);
    }
  } else {
    take_registers<Shape::kTaken>();
    if constexpr (kOfQueries) sum_for_queries<Shape>(all, memory);
    else sum_for_keys<Shape>(all, memory);
  }
#endif
}

}  // namespace selfrefine::cuda
