// One product by TMA, mbarrier and wgmma, with one error planted at a time: the emulation must end it, or make its
// numbers wrong.
#include <cmath>

#include "cuda/hopper.cuh"
#include "cuda/language.h"
#include "planted.h"

using namespace selfrefine;
using namespace selfrefine::cuda;

namespace {

constexpr int kSide = 64, kTileBytes = kSide * kSide * 2, kThreads = 128;

enum class Error {
  none, unpublished, uninitialised, fewer_bytes, more_bytes, missing_arrival, extra_arrival, wrong_parity,
  unawaited_copy, misplaced_box, unfenced, read_too_early, unawaited_product, stage_given_back, wrong_stride,
  wrong_step, wrong_major, other_swizzle, missing_warp, missing_thread_of_named_barrier
};

/// out (64, 64) = a b^T, both (64, 64).
template <Error kError>
__global__ void product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* out) {
  DYN_SMEM(bfloat16, memory);
  bfloat16* const tile_b = memory + kSide * kSide;
  uint64_t *const full = reinterpret_cast<uint64_t*>(memory + 2 * kSide * kSide), *const again = full + 1;
  const bool first = threadIdx.x == 0;
  if (first) {
    if (kError != Error::uninitialised) mbarrier_init(full, kError == Error::missing_arrival ? 2 : 1);
    mbarrier_init(again, 1);
    if (kError != Error::unpublished) mbarrier_fence_init();
  }
  __syncthreads();
  if (first) {
    constexpr int kDifference = kError == Error::fewer_bytes ? -128 : kError == Error::more_bytes ? 128 : 0;
    mbarrier_arrive_expect(full, 2 * kTileBytes + kDifference);
    if (kError == Error::extra_arrival) mbarrier_arrive(full);
    tma_load(memory, a, full, 0, 0);
    tma_load(kError == Error::misplaced_box ? tile_b + 64 : tile_b, b, full, 0, 0);
  }
  if (kError != Error::unawaited_copy) mbarrier_wait(full, kError == Error::wrong_parity ? 1 : 0);
  if (kError == Error::missing_thread_of_named_barrier && !first) named_barrier_sync(1, kThreads);
  float sums[kSide / 2] = {};
  uint64_t from_a = wgmma_operand(matrix_address(memory)), from_b = wgmma_operand(matrix_address(tile_b));
  if (kError == Error::wrong_stride) from_b ^= uint64_t{64 ^ 32} << 32;
  if (kError == Error::other_swizzle) from_b ^= uint64_t{3} << 62;
  constexpr int kStep = kError == Error::wrong_step ? 1 : 2;
  if (kError != Error::unfenced) wgmma_fence(sums);
  if (kError != Error::missing_warp || threadIdx.x >= 32) {
    for (int k = 0; k < 4; ++k) {
      wgmma<kSide, false, kError == Error::wrong_major>(sums, from_a + k * kStep, from_b + k * kStep, k > 0);
    }
  }
  wgmma_commit();
  if (kError == Error::stage_given_back && first) {
    mbarrier_arrive_expect(again, kTileBytes);
    tma_load(memory, a, again, 0, 32);
  }
  const auto store = [&] {
    for (int i = 0; i < kSide / 2; ++i) {
      const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
      out[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * kSide + i / 4 * 8 + lane % 4 * 2 + i % 2] = sums[i];
    }
  };
  if (kError == Error::read_too_early) store();
  if (kError != Error::unawaited_product) wgmma_wait<0>(sums);
  if (kError != Error::read_too_early) store();
  if (kError == Error::stage_given_back) mbarrier_wait(again, 0);
}

int value(int i) { return i * 37 % 11 - 5; }

template <Error kError>
bool multiplies() {
  Values<bfloat16> a(kSide * kSide), b(kSide * kSide);
  Values<float> out(kSide * kSide);
  for (int i = 0; i < kSide * kSide; ++i) {
    a.data[i] = static_cast<float>(value(i));
    b.data[i] = static_cast<float>(value(3 * i + 1));
  }
  const uint64_t sizes[] = {kSide, kSide}, strides[] = {kSide * 2};
  const uint32_t box[] = {kSide, kSide};
  TensorMap map_a, map_b;
  if (cudasim::encode_tensor_map(map_a, a.data, 2, sizes, strides, box) != nullptr) return false;
  if (cudasim::encode_tensor_map(map_b, b.data, 2, sizes, strides, box) != nullptr) return false;
  LAUNCH(product<kError>, 1, kThreads, 2 * kTileBytes + 16, nullptr, map_a, map_b, out.data);
  for (int row = 0; row < kSide; ++row) {
    for (int column = 0; column < kSide; ++column) {
      int sum = 0;
      for (int k = 0; k < kSide; ++k) sum += value(row * kSide + k) * value(3 * (column * kSide + k) + 1);
      if (out.data[row * kSide + column] != static_cast<float>(sum)) return false;
    }
  }
  return true;
}

/// Two warps read a box. Here the second one comes late enough even where it does not wait.
template <bool kBothWait>
__global__ void read_box(const __grid_constant__ TensorMap map, float* out) {
  DYN_SMEM(bfloat16, tile);
  uint64_t* const full = reinterpret_cast<uint64_t*>(tile + kSide * kSide);
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_fence_init();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(full, kTileBytes);
    tma_load(tile, map, full, 0, 0);
  }
  if (kBothWait || threadIdx.x < 32) mbarrier_wait(full, 0);
  out[threadIdx.x] = static_cast<float>(tile[threadIdx.x]);
}

template <bool kBothWait>
bool reads_box() {
  Values<bfloat16> values(kSide * kSide);
  Values<float> out(kSide);
  for (int i = 0; i < kSide * kSide; ++i) values.data[i] = static_cast<float>(value(i));
  const uint64_t sizes[] = {kSide, kSide}, strides[] = {kSide * 2};
  const uint32_t box[] = {kSide, kSide};
  TensorMap map;
  if (cudasim::encode_tensor_map(map, values.data, 2, sizes, strides, box) != nullptr) return false;
  LAUNCH(read_box<kBothWait>, 1, kSide, kTileBytes + 16, nullptr, map, out.data);
  for (int i = 0; i < kSide; ++i) {
    if (out.data[i] != static_cast<float>(value(i))) return false;
  }
  return true;
}

bool encodes(size_t offset, uint64_t stride, uint32_t width) {
  Values<bfloat16> values(kSide * kSide);
  const uint64_t sizes[] = {kSide / 2, kSide / 2}, strides[] = {stride};
  const uint32_t box[] = {width, 8};
  TensorMap map;
  return cudasim::encode_tensor_map(map, values.data + offset, 2, sizes, strides, box) == nullptr;
}

}  // namespace

const std::vector<Planted>& hopper_planted() {
  static const std::vector<Planted> all = {
      {"a product by wgmma", Finder::nothing, multiplies<Error::none>},
      {"TMA to an mbarrier without its fence", Finder::simulation, multiplies<Error::unpublished>},
      {"an mbarrier that nobody made", Finder::simulation, multiplies<Error::uninitialised>},
      {"an mbarrier that expects too few bytes", Finder::simulation, multiplies<Error::fewer_bytes>},
      {"an mbarrier that expects too many bytes", Finder::simulation, multiplies<Error::more_bytes>},
      {"an mbarrier at which a thread is missing", Finder::simulation, multiplies<Error::missing_arrival>},
      {"an mbarrier at which too many arrive", Finder::simulation, multiplies<Error::extra_arrival>},
      {"a wait for the wrong parity", Finder::race_or_simulation, multiplies<Error::wrong_parity>},
      {"a missing wait for TMA", Finder::race_or_simulation, multiplies<Error::unawaited_copy>},
      {"a box that two warps wait for", Finder::nothing, reads_box<true>},
      {"a box that one of two warps does not wait for", Finder::race, reads_box<false>},
      {"TMA to a misaligned tile", Finder::simulation, multiplies<Error::misplaced_box>},
      {"wgmma without its fence", Finder::simulation, multiplies<Error::unfenced>},
      {"sums read while wgmma has them", Finder::value, multiplies<Error::read_too_early>},
      {"a missing wait for wgmma", Finder::simulation, multiplies<Error::unawaited_product>},
      {"a stage given back before wgmma has read it", Finder::race_or_value, multiplies<Error::stage_given_back>},
      {"a descriptor with the wrong stride", Finder::value, multiplies<Error::wrong_stride>},
      {"a descriptor that steps too little", Finder::value, multiplies<Error::wrong_step>},
      {"a descriptor of the wrong major", Finder::value, multiplies<Error::wrong_major>},
      {"a descriptor of another swizzle", Finder::simulation, multiplies<Error::other_swizzle>},
      {"wgmma by a part of a warpgroup", Finder::simulation, multiplies<Error::missing_warp>},
      {"a named barrier at which a thread is missing", Finder::simulation,
       multiplies<Error::missing_thread_of_named_barrier>},
      {"a tensor map of a misaligned tensor", Finder::value, [] { return encodes(1, 64, 64); }},
      {"a tensor map of misaligned rows", Finder::value, [] { return encodes(0, 72, 64); }},
      {"a tensor map of a box too wide for its swizzle", Finder::value, [] { return encodes(0, 64, 128); }},
      {"a tensor map", Finder::nothing, [] { return encodes(8, 64, 64); }},
  };
  return all;
}
