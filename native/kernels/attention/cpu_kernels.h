// What an instruction set provides for attention: one query tile, or one key tile, at a time. Rows are cut into tiles
// from the beginning of their segment, so that where a sequence lies in the batch does not change its result.
#pragma once

#include "kernels/attention/op.h"

namespace selfrefine {

constexpr int64_t kKeyTile = 64;  // keys of a key tile

struct AttentionTile {
  int64_t segment;
  int64_t begin, end;  // rows of the batch
};

struct AttentionSegment {
  int64_t key_tiles_begin, key_tiles_end;        // its key tiles
  int64_t query_tiles_begin, query_tiles_end;    // its query tiles
  int64_t prefix_tiles_begin, prefix_tiles_end;  // key tiles of its prefix
};

/// A segment without prefix and the segments that have it as theirs: nothing outside sees its keys.
struct AttentionGroup {
  int64_t key_tiles_begin, key_tiles_end;
  int64_t query_tiles_begin, query_tiles_end;
};

/// The packed forms of keys and values; those that a pass does not need are null. Tile t of key/value head h begins at
/// (h * tiles + t) * size. "Across": a column is a key, in the units of the instruction set's products (see
/// cpu/gemm_kernels.h); the others are rows of float32.
struct AttentionPanels {
  float* keys_across = nullptr;
  float* values_across = nullptr;
  float* keys = nullptr;
  float* values = nullptr;
  int64_t tiles = 0, size = 0;
};

/// The cut of a batch, built once for an op.
struct AttentionView {
  const AttentionSegment* segments;
  const AttentionTile* query_tiles;
  const AttentionTile* key_tiles;
  AttentionPanels panels;
};

struct AttentionKernels {
  int64_t query_tile;  // rows of a query tile

  int64_t (*panel_floats)(int64_t d);
  void (*pack)(const Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const AttentionView& view, int64_t key_tile,
               int64_t kv_head);

  int64_t (*forward_scratch)(int64_t d);
  void (*forward)(const AttentionForward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                  float* scratch);

  /// Floats for the largest group of `key_tiles` tiles; 1 is enough for the two passes.
  int64_t (*backward_scratch)(int64_t d, int64_t key_tiles);
  /// Either everything of one group and key/value head, ...
  void (*backward_group)(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group,
                         int64_t kv_head, float* scratch);
  /// ... or in two passes of small tasks, at the price of computing the scores twice. The results are the same bits.
  void (*backward_queries)(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                           float* scratch);
  void (*backward_keys)(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group,
                        int64_t key_tile, int64_t kv_head, float* scratch);
};

}  // namespace selfrefine
