// Which attention kernels run, of which tiles: by storage type and head_dim; and what all of them get of an op.
#pragma once

#include <type_traits>

#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

/// Register tiles (16 rows each) of a warp and the other side's rows of a step, for head_dim up to kDim. More register
/// tiles read shared memory less often; the sums, kDim floats a row, set the limit. kFewKeyQueries: instead of
/// kKeyQueries where a block gets less shared memory than on 8.0 and 9.0.
template <int kDim>
struct AttentionShapes;
template <>
struct AttentionShapes<32> {
  static constexpr int kForwardTiles = 2, kForwardKeys = 64, kQueryTiles = 2, kQueryKeys = 64;
  static constexpr int kKeyTiles = 2, kKeyQueries = 32, kFewKeyQueries = 32, kColumnParts = 1;
};
template <>
struct AttentionShapes<64> {
  static constexpr int kForwardTiles = 2, kForwardKeys = 64, kQueryTiles = 2, kQueryKeys = 32;
  static constexpr int kKeyTiles = 2, kKeyQueries = 32, kFewKeyQueries = 32, kColumnParts = 1;
};
template <>
struct AttentionShapes<96> {
  static constexpr int kForwardTiles = 2, kForwardKeys = 32, kQueryTiles = 2, kQueryKeys = 32;
  static constexpr int kKeyTiles = 1, kKeyQueries = 64, kFewKeyQueries = 64, kColumnParts = 1;
};
template <>
struct AttentionShapes<128> {
  static constexpr int kForwardTiles = 2, kForwardKeys = 32, kQueryTiles = 2, kQueryKeys = 32;
  static constexpr int kKeyTiles = 1, kKeyQueries = 64, kFewKeyQueries = 32, kColumnParts = 1;
};
template <>
struct AttentionShapes<256> {
  static constexpr int kForwardTiles = 1, kForwardKeys = 32, kQueryTiles = 1, kQueryKeys = 32;
  static constexpr int kKeyTiles = 1, kKeyQueries = 32, kFewKeyQueries = 32, kColumnParts = 2;
};

/// Whether the tensor-core kernels take it: scores that grow with q.k, and a head that fits in registers.
inline bool on_tensor_cores(DType dtype, int64_t d, float scale) {
  return dtype == DType::bf16 && d <= 256 && scale > 0;
}

/// Calls f with the narrowest kDim that holds d, as an integral constant.
template <typename F>
decltype(auto) visit_head_dim(int64_t d, F&& f) {
  if (d <= 32) return f(std::integral_constant<int, 32>{});
  if (d <= 64) return f(std::integral_constant<int, 64>{});
  if (d <= 96) return f(std::integral_constant<int, 96>{});
  if (d <= 128) return f(std::integral_constant<int, 128>{});
  return f(std::integral_constant<int, 256>{});
}

inline TileSizes tile_sizes(DType dtype, int64_t d, float scale) {
  if (!on_tensor_cores(dtype, d, scale)) return {64, 64, 64};
  return visit_head_dim(d, [](auto dim) {
    using Shapes = AttentionShapes<dim()>;
    return TileSizes{64 * Shapes::kForwardTiles, 64 * Shapes::kQueryTiles, 64 * Shapes::kKeyTiles};
  });
}

template <typename T, typename Op>
AttentionArguments<T> arguments_of(const Op& op) {
  AttentionArguments<T> a{};
  a.qkv = op.qkv.template as<T>();
  a.out = op.out.template as<T>();
  a.lse = op.lse.template as<float>();
  a.rows = static_cast<int>(op.qkv.dim(0));
  a.heads = op.num_heads;
  a.kv_heads = op.num_kv_heads;
  a.d = static_cast<int>(op.qkv.dim(2));
  a.scale = op.scale;
  return a;
}

}  // namespace selfrefine::cuda
