// Attention for one instruction set: packing of key tiles, and the table.
#pragma once

#include "kernels/attention/cpu_backward_simd.h"
#include "kernels/attention/cpu_forward_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

int64_t panel_floats(int64_t d) { return whole_vectors(d) * kKeyTile; }

template <typename T>
void pack_tile(const Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const AttentionView& view, int64_t key_tile,
               int64_t kv_head, float* scratch) {
  const int64_t d = dim(qkv, 2), padded = whole_vectors(d), stride = dim(qkv, 1) * d;
  const AttentionTile& tile = view.key_tiles[key_tile];
  const AttentionPanels& panels = view.panels;
  const int64_t panel = (kv_head * panels.tiles + key_tile) * panels.size, rows = tile.end - tile.begin;
  const T* keys = data<T>(qkv) + tile.begin * stride + (num_heads + kv_head) * d;
  const T* values = keys + num_kv_heads * d;
  const auto pack_both = [&](const T* x, float* along, float* across) {
    float* to = along != nullptr ? along + panel : scratch;
    copy_rows(to, kKeyTile, padded, x, stride, rows, d, 1.0f);
    if (across != nullptr) transpose_tile(across + panel, to, kKeyTile, padded);
  };
  pack_both(keys, panels.keys, panels.keys_across);
  pack_both(values, panels.values, panels.values_across);
}

void pack(const Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const AttentionView& view, int64_t key_tile,
          int64_t kv_head, float* scratch) {
  by_type(qkv, [&](auto type) { pack_tile<decltype(type)>(qkv, num_heads, num_kv_heads, view, key_tile, kv_head, scratch); });
}

constexpr AttentionKernels table{kQueries,         panel_floats,   pack,             forward_scratch, forward,
                                 backward_scratch, backward_group, backward_queries, backward_keys};

}  // namespace attention
SELFREFINE_ISA_END
