// Attention on the CPU: key tiles are packed once, then query tiles run in parallel, the longest first; backward by
// whole groups where there are enough of them, else in two passes.
#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

/// Cuts the batch and packs its keys and values.
template <typename Op>
AttentionView CpuBackend::pack_attention(const Op& op, bool backward) {
  plan_.build(op.segments, isa_.attention.query_tile);
  const int64_t tiles = static_cast<int64_t>(plan_.key_tiles.size()), size = isa_.attention.panel_floats(op.qkv.dim(2));
  const int64_t set = tiles * size * op.num_kv_heads, sets = backward ? 3 : 2;
  float* memory = work_area(panels_, sets * set, "packed keys and values of attention");
  AttentionPanels panels;
  panels.tiles = tiles;
  panels.size = size;
  panels.keys_across = memory;
  (backward ? panels.values_across : panels.values) = memory + set;
  if (backward) panels.keys = memory + 2 * set;
  const AttentionView view{plan_.segments.data(), plan_.query_tiles.data(), plan_.key_tiles.data(), panels};
  pool_.parallel_for(tiles * op.num_kv_heads, [&](int64_t task, int) {
    isa_.attention.pack(op.qkv, op.num_heads, op.num_kv_heads, view, task / op.num_kv_heads, task % op.num_kv_heads);
  });
  return view;
}

void CpuBackend::compute(const AttentionForward& op) {
  expect_segments("attention_forward", op.segments, op.qkv.dim(0));
  const AttentionView view = pack_attention(op, false);
  const int64_t tiles = static_cast<int64_t>(plan_.query_tiles.size()), heads = op.num_kv_heads;
  const ThreadScratch scratch = thread_scratch(isa_.attention.forward_scratch(op.qkv.dim(2)));
  pool_.parallel_for(tiles * heads, [&](int64_t task, int thread) {
    isa_.attention.forward(op, view, tiles - 1 - task / heads, task % heads, scratch.of(thread));
  });
}

void CpuBackend::compute(const AttentionBackward& op) {
  expect_segments("attention_backward", op.segments, op.qkv.dim(0));
  const AttentionView view = pack_attention(op, true);
  const int64_t d = op.qkv.dim(2), heads = op.num_kv_heads;
  const std::vector<AttentionGroup>& groups = plan_.groups;
  if (plan_.groups_balance(heads, pool_.threads())) {
    const ThreadScratch scratch = thread_scratch(isa_.attention.backward_scratch(d, plan_.largest_group()));
    pool_.parallel_for(static_cast<int64_t>(groups.size()) * heads, [&](int64_t task, int thread) {
      const AttentionGroup& group = groups[static_cast<size_t>(task / heads)];
      isa_.attention.backward_group(op, view, group, task % heads, scratch.of(thread));
    });
    return;
  }
  const ThreadScratch scratch = thread_scratch(isa_.attention.backward_scratch(d, 1));
  const int64_t query_tiles = static_cast<int64_t>(plan_.query_tiles.size());
  const int64_t key_tiles = static_cast<int64_t>(plan_.key_tiles.size());
  pool_.parallel_for(query_tiles * heads, [&](int64_t task, int thread) {
    isa_.attention.backward_queries(op, view, query_tiles - 1 - task / heads, task % heads, scratch.of(thread));
  });
  pool_.parallel_for(key_tiles * heads, [&](int64_t task, int thread) {
    const int64_t tile = task / heads;
    const AttentionGroup& group = groups[static_cast<size_t>(plan_.group_of_key_tile[static_cast<size_t>(tile)])];
    isa_.attention.backward_keys(op, view, group, tile, task % heads, scratch.of(thread));
  });
}

}  // namespace selfrefine
