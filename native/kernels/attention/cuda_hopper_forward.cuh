// Attention forward on Hopper (Shah et al. 2024, "FlashAttention-3"): keys and values come by TMA, weights stay in
// registers, and the scores of the next keys are computed while the weights of these meet their values.
#pragma once

#include "kernels/attention/cuda_forward.cuh"
#include "kernels/attention/cuda_hopper.cuh"

namespace selfrefine::cuda {

template <int kDim_, int kGroups_, bool kWindow_>
struct HopperForward {
  static constexpr bool kWindow = kWindow_;
  static constexpr int kDim = kDim_, kGroups = kGroups_, kRows = 64 * kGroups, kKeys = 128, kWarps = 4 * kGroups;
  static constexpr int kThreads = 128 * (kGroups + 1), kStages = kDim <= 64 ? 4 : 2;
  static constexpr int kGiven = kGroups == 3 ? 32 : 24, kTaken = kGroups == 3 ? 160 : 240;
  using Queries = HopperTileOf<kDim, kRows>;
  using Keys = HopperTileOf<kDim, kKeys>;
  using KeyGates = Gates<kStages>;
  static constexpr int kKeysAt = Queries::kElements, kValuesAt = kKeysAt + kStages * Keys::kElements;
  static constexpr int kSlabsAt = kValuesAt + kStages * Keys::kElements, kSlab = 16 * kLine<kDim>;
  static constexpr int kGatesAt = kSlabsAt + kWarps * kSlab;
  static constexpr int kSharedBytes = 2 * kGatesAt + Gates<1>::kBytes + 2 * KeyGates::kBytes;
  static_assert(kSharedBytes <= kLargestShared && registers_suffice(kThreads, kGiven, kTaken));
};

/// A block's shared memory.
template <typename Shape>
struct ForwardMemory {
  bfloat16 *queries, *keys, *values, *slabs;
  Gates<1> query_gate;
  typename Shape::KeyGates key_gates, value_gates;

  __device__ __forceinline__ explicit ForwardMemory(bfloat16* memory)
      : queries(memory), keys(memory + Shape::kKeysAt), values(memory + Shape::kValuesAt),
        slabs(memory + Shape::kSlabsAt), query_gate(reinterpret_cast<uint64_t*>(memory + Shape::kGatesAt)),
        key_gates(query_gate.full + 2), value_gates(key_gates.full + 2 * Shape::kStages) {}

  __device__ __forceinline__ bfloat16* keys_of(int stage) const { return keys + stage * Shape::Keys::kElements; }
  __device__ __forceinline__ bfloat16* values_of(int stage) const { return values + stage * Shape::Keys::kElements; }

  __device__ __forceinline__ void init() const {
    query_gate.init(1, Shape::kWarps);
    key_gates.init(1, Shape::kWarps);
    value_gates.init(1, Shape::kWarps);
    mbarrier_fence_init();
  }
};

/// What one thread of the first warpgroup does.
template <typename Shape>
__device__ __forceinline__ void bring_forward(const HopperAttention& all, const ForwardMemory<Shape>& memory) {
  const auto& a = all.a;
  RingPlace<1> query;
  RingPlace<Shape::kStages> place;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int head = item % a.heads, kv_head = a.kv_head_of(head);
    const KeySteps steps(a.tiles[item / a.heads], Shape::kKeys);
    memory.query_gate.wait_empty(query);
    mbarrier_arrive_expect(memory.query_gate.full, Shape::Queries::kBytes);
    Shape::Queries::load(memory.queries, all.queries, memory.query_gate.full, head, steps.tile.begin);
    query.advance();
    for (int step = 0; step < steps.count; ++step, place.advance()) {
      const int row = steps.begin(step), stage = place.stage;
      uint64_t *const keys_full = memory.key_gates.full + stage, *const values_full = memory.value_gates.full + stage;
      memory.key_gates.wait_empty(place);
      mbarrier_arrive_expect(keys_full, Shape::Keys::kBytes);
      Shape::Keys::load(memory.keys_of(stage), all.keys, keys_full, a.heads + kv_head, row);
      memory.value_gates.wait_empty(place);
      mbarrier_arrive_expect(values_full, Shape::Keys::kBytes);
      Shape::Keys::load(memory.values_of(stage), all.keys, values_full, a.heads + a.kv_heads + kv_head, row);
    }
  }
}

/// What each of the other warpgroups does: 64 rows of each tile.
template <typename Shape>
__device__ __forceinline__ void attend_forward(const HopperAttention& all, const ForwardMemory<Shape>& memory) {
  constexpr int kDim = Shape::kDim, kKeys = Shape::kKeys;
  const auto& a = all.a;
  const int warp = static_cast<int>(threadIdx.x) / kWarp - 4, group_row = warp / 4 * 64;
  bfloat16* const slab = memory.slabs + warp * Shape::kSlab;
  const float scale = a.scale * kLog2E;
  RingPlace<1> query;
  RingPlace<Shape::kStages> key, value;
  for (int item = static_cast<int>(blockIdx.x); item < all.items; item += static_cast<int>(gridDim.x)) {
    const int head = item % a.heads;
    const KeySteps steps(a.tiles[item / a.heads], kKeys);
    const int mine = steps_for(steps, steps.tile.begin + group_row), row = steps.tile.begin + warp * 16;
    memory.query_gate.wait_full(query);
    if (mine > 0) {
      float scores[1][kKeys / 8][4], sums[1][kDim / 8][4] = {}, shrink[1][2];
      uint32_t weights[1][kKeys / 16][4];
      RunningSoftmax<1> softmax;
      const auto start = [&] {
        memory.key_gates.wait_full(key);
        wgmma_fence(flat(scores));
        start_scores<kDim, typename Shape::Queries, typename Shape::Keys>(scores, memory.queries, group_row,
                                                                          memory.keys_of(key.stage));
      };
      start();
      wgmma_wait<0>(flat(scores));
      memory.key_gates.release(key);
      key.advance();
      mask_step<Shape::kWindow>(scores, a, steps, 0, row);
      softmax.weigh(scores, shrink, scale);
      to_weights(weights, scores);
      for (int step = 1; step < mine; ++step) {
        start();
        memory.value_gates.wait_full(value);
        wgmma_fence(flat(sums), weights);
        start_sums<typename Shape::Keys>(sums, weights, memory.values_of(value.stage));
        wgmma_wait<1>(flat(scores));
        memory.key_gates.release(key);
        key.advance();
        mask_step<Shape::kWindow>(scores, a, steps, step, row);
        softmax.weigh(scores, shrink, scale);
        wgmma_wait<0>(flat(sums));
        memory.value_gates.release(value);
        value.advance();
        shrink_sums(sums, shrink);
        to_weights(weights, scores);
      }
      memory.query_gate.release(query);
      memory.value_gates.wait_full(value);
      wgmma_fence(flat(sums), weights);
      start_sums<typename Shape::Keys>(sums, weights, memory.values_of(value.stage));
      wgmma_wait<0>(flat(sums));
      memory.value_gates.release(value);
      value.advance();
      const int end = steps.tile.end;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        softmax.total[0][half] = row_sum(softmax.total[0][half]);
        const int at = row + half * 8 + lane_id() / 4;
        if (lane_id() % 4 == 0 && at < end) {
          a.lse[int64_t{at} * a.heads + head] = softmax.log_total(0, half, a.scale);
        }
      }
      store_sums<kDim>(a.head_of(a.out, head), slab, sums, row, end, a,
                       [&](int, int half) { return 1.0f / softmax.total[0][half]; });
    } else {
      memory.query_gate.release(query);
    }
    query.advance();
    for (int step = mine; step < steps.count; ++step) {  // others' keys
      memory.key_gates.wait_full(key);
      memory.key_gates.release(key);
      key.advance();
      memory.value_gates.wait_full(value);
      memory.value_gates.release(value);
      value.advance();
    }
  }
}

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    attention_forward_hopper(const __grid_constant__ HopperAttention all) {
#if defined(SELFREFINE_ON_HOPPER)
  DYN_SMEM(bfloat16, shared);
  const ForwardMemory<Shape> memory(shared);
  if (threadIdx.x == 0) {
    tma_prefetch(all.queries);
    tma_prefetch(all.keys);
    memory.init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<Shape::kGiven>();
    if (threadIdx.x == 0) bring_forward<Shape>(all, memory);
  } else {
    take_registers<Shape::kTaken>();
    attend_forward<Shape>(all, memory);
  }
#endif
}

}  // namespace selfrefine::cuda
