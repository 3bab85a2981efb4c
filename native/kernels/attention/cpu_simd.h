// Attention for one instruction set: packing of key tiles, and the table.
#pragma once

#include "kernels/attention/cpu_backward_simd.h"
#include "kernels/attention/cpu_forward_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

int64_t panel_floats(int64_t d) { return whole_vectors(d) * kKeyTile; }

template <typename T>
void pack_tile(const Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const AttentionView& view, int64_t key_tile,
               int64_t kv_head) {
  const int64_t d = dim(qkv, 2), stride = dim(qkv, 1) * d;
  const AttentionTile& tile = view.key_tiles[key_tile];
  const AttentionPanels& panels = view.panels;
  const int64_t panel = (kv_head * panels.tiles + key_tile) * panels.size;
  const T* key = data<T>(qkv) + tile.begin * stride + (num_heads + kv_head) * d;
  const HeadRows<T> keys{key, stride, tile.end - tile.begin, d};
  const HeadRows<T> values{key + num_kv_heads * d, stride, tile.end - tile.begin, d};
  copy_across(panels.keys_across + panel, kKeyTile, keys);
  if (panels.values_across != nullptr) copy_across(panels.values_across + panel, kKeyTile, values);
  if (panels.keys != nullptr) copy_rows(panels.keys + panel, kKeyTile, keys);
  if (panels.values != nullptr) copy_rows(panels.values + panel, kKeyTile, values);
}

void pack(const Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const AttentionView& view, int64_t key_tile,
          int64_t kv_head) {
  by_type(qkv, [&](auto type) {
    pack_tile<decltype(type)>(qkv, num_heads, num_kv_heads, view, key_tile, kv_head);
  });
}

constexpr AttentionKernels table{kQueries,         panel_floats,   pack,             forward_scratch, forward,
                                 backward_scratch, backward_group, backward_queries, backward_keys};

}  // namespace attention
SELFREFINE_ISA_END
