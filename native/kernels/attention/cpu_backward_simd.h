// Attention backward (Dao 2023, "FlashAttention-2"): the weights are computed again from the log-sum-exp,
//   p = exp(scale q.k - lse)   ds = p (dout.v - delta), delta = dout.out
//   dv += p^T dout   dk += ds^T (scale q)   dq += scale ds k
// The order of the sums, head by head, query tile by query tile, is the same in one pass and in two.
#pragma once

#include "kernels/attention/cpu_tiles_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

/// One query tile of one head, ready to meet key tiles.
struct QueryTile {
  float* queries;         // (kQueries, padded), scaled
  float* queries_across;  // (padded, kQueries)
  float* douts;           // (kQueries, padded)
  float* douts_across;    // (padded, kQueries)
  float* dq_across;       // (padded, kQueries)
  float* lse;             // (kQueries)
  float* delta;           // (kQueries)
  float* positions;       // (kQueries)
};

struct BackwardScratch {
  QueryTile query;
  float* weights;   // (kKeyTile, kQueries): p
  float* dweights;  // (kKeyTile, kQueries): ds
  float* dkeys;     // (tiles, kKeyTile, padded)
  float* dvalues;

  BackwardScratch(float* memory, int64_t padded, int64_t tiles) {
    const auto take = [&](int64_t floats) {
      float* start = memory;
      memory += floats;
      return start;
    };
    query.queries = take(kQueries * padded);
    query.queries_across = take(kQueries * padded);
    query.douts = take(kQueries * padded);
    query.douts_across = take(kQueries * padded);
    query.dq_across = take(kQueries * padded);
    query.lse = take(kQueries);
    query.delta = take(kQueries);
    query.positions = take(kQueries);
    weights = take(kKeyTile * kQueries);
    dweights = take(kKeyTile * kQueries);
    dkeys = take(tiles * kKeyTile * padded);
    dvalues = take(tiles * kKeyTile * padded);
  }
};

int64_t backward_scratch(int64_t d, int64_t key_tiles) {
  const int64_t padded = whole_vectors(d);
  return kQueries * (5 * padded + 3) + 2 * kKeyTile * kQueries + 2 * key_tiles * kKeyTile * padded;
}

template <typename T>
SELFREFINE_INLINE void load_query_tile(const AttentionBackward& op, const AttentionTile& tile, int64_t head, const QueryTile& to,
                                       int64_t d, int64_t padded) {
  const int64_t rows = tile.end - tile.begin, qkv_stride = dim(op.qkv, 1) * d, stride = op.num_heads * d;
  const T* out = data<T>(op.out) + tile.begin * stride + head * d;
  const T* dout = data<T>(op.dout) + tile.begin * stride + head * d;
  copy_rows(to.queries, kQueries, padded, data<T>(op.qkv) + tile.begin * qkv_stride + head * d, qkv_stride, rows, d,
            op.scale);
  transpose_tile(to.queries_across, to.queries, kQueries, padded);
  copy_rows(to.douts, kQueries, padded, dout, stride, rows, d, 1.0f);
  transpose_tile(to.douts_across, to.douts, kQueries, padded);
  for (int64_t q = 0; q < kQueries; ++q) {
    Vec dot = zero();
    if (q < rows) {
      for_lanes(d, [&](int64_t i, int lanes) { dot = fma(load_n(out + q * stride + i, lanes), load_n(to.douts + q * padded + i, lanes), dot); });
    }
    to.delta[q] = reduce_add(dot);
    to.lse[q] = q < rows ? data<float>(op.lse)[(tile.begin + q) * op.num_heads + head] : 0.0f;
  }
}

/// p and ds of one meeting, for whole register tiles of keys.
SELFREFINE_INLINE void weigh(const Meeting& at, const BackwardScratch& my, const float* keys_across, const float* values_across,
                             int64_t d) {
  const QueryTile& query = my.query;
  for (int64_t key = 0; key < at.keys; key += kRows) {
    Vec c[kRows][kVectors];
    clear(c);
    multiply(c, keys_across + key, 1, kKeyTile, query.queries_across, kQueries, d);
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kVectors; ++j) {
        Vec p = exp(c[i][j] - load(query.lse + j * kWidth));
        if (at.causal || at.window > 0) p = masked(at, min_of(key + i, at.keys - 1), j, p, zero());
        store(my.weights + (key + i) * kQueries + j * kWidth, key + i < at.keys ? p : zero());
      }
    }
    clear(c);
    multiply(c, values_across + key, 1, kKeyTile, query.douts_across, kQueries, d);
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kVectors; ++j) {
        const int64_t at_lane = (key + i) * kQueries + j * kWidth;
        store(my.dweights + at_lane, load(my.weights + at_lane) * (c[i][j] - load(query.delta + j * kWidth)));
      }
    }
  }
}

/// Everything that one query tile and one key tile give each other.
template <bool WithQueries, bool WithKeys>
SELFREFINE_INLINE void exchange(const Meeting& at, const BackwardScratch& my, const AttentionPanels& panels, int64_t panel,
                                int64_t d, int64_t padded, float* dkeys, float* dvalues) {
  weigh(at, my, panels.keys_across + panel, panels.values_across + panel, d);
  if constexpr (WithKeys) {
    add_along(dvalues, my.weights, my.query.douts, padded, at.keys);
    add_along(dkeys, my.dweights, my.query.queries, padded, at.keys);
  }
  if constexpr (WithQueries) add_across(my.query.dq_across, panels.keys + panel, padded, my.dweights, d, at.keys);
}

template <typename T>
SELFREFINE_INLINE void write_dq(const AttentionBackward& op, const AttentionTile& tile, int64_t head, const BackwardScratch& my,
                                int64_t d, int64_t padded) {
  const int64_t stride = dim(op.qkv, 1) * d;
  float* rows = my.query.douts;  // no longer needed
  for (int64_t i = 0; i < padded; i += kWidth) {
    for (int64_t q = 0; q < kQueries; q += kWidth) {
      Vec block[kWidth];
      for (int k = 0; k < kWidth; ++k) block[k] = load(my.query.dq_across + (i + k) * kQueries + q);
      transpose(block);
      for (int k = 0; k < kWidth; ++k) store(rows + (q + k) * padded + i, block[k]);
    }
  }
  for (int64_t q = 0; q < tile.end - tile.begin; ++q) {
    T* dq = data<T>(op.dqkv) + (tile.begin + q) * stride + head * d;
    for_lanes(d, [&](int64_t i, int lanes) {
      store_n(dq + i, load_n(rows + q * padded + i, lanes) * broadcast(op.scale), lanes);
    });
  }
}

/// Writes dk and dv of one key tile.
template <typename T>
SELFREFINE_INLINE void write_dkv(const AttentionBackward& op, const AttentionTile& tile, int64_t kv_head, const float* dkeys,
                                 const float* dvalues, int64_t d, int64_t padded) {
  const int64_t stride = dim(op.qkv, 1) * d;
  for (int64_t k = 0; k < tile.end - tile.begin; ++k) {
    T* dk = data<T>(op.dqkv) + (tile.begin + k) * stride + (op.num_heads + kv_head) * d;
    T* dv = dk + op.num_kv_heads * d;
    for_lanes(d, [&](int64_t i, int lanes) {
      store_n(dk + i, load_n(dkeys + k * padded + i, lanes), lanes);
      store_n(dv + i, load_n(dvalues + k * padded + i, lanes), lanes);
    });
  }
}

/// Calls visit(meeting, key tile) for the key tiles that a query tile sees, in order.
template <typename Visit>
SELFREFINE_INLINE void for_each_key_tile(const AttentionBackward& op, const AttentionView& view, const AttentionTile& tile,
                                         const float* query_positions, Visit visit) {
  const AttentionSegment& segment = view.segments[tile.segment];
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Meeting at;
      if (meet(at, tile, view.key_tiles[t], data<int32_t>(op.positions), query_positions, op.window)) visit(at, t);
    }
  };
  range(segment.prefix_tiles_begin, segment.prefix_tiles_end);
  range(segment.key_tiles_begin, segment.key_tiles_end);
}

/// One query tile of one head: its dq and, if WithKeys, its share of dk and dv of the group's tiles from first_tile on.
template <typename T, bool WithKeys>
void visit_query_tile(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t head, int64_t kv_head,
                      const BackwardScratch& my, int64_t first_tile) {
  const int64_t d = dim(op.qkv, 2), padded = whole_vectors(d), tile_floats = kKeyTile * padded;
  const AttentionTile& tile = view.query_tiles[query_tile];
  load_query_tile<T>(op, tile, head, my.query, d, padded);
  copy_positions(my.query.positions, tile, data<int32_t>(op.positions));
  memset(my.query.dq_across, 0, static_cast<size_t>(padded * kQueries) * sizeof(float));
  for_each_key_tile(op, view, tile, my.query.positions, [&](const Meeting& at, int64_t t) {
    const int64_t panel = (kv_head * view.panels.tiles + t) * view.panels.size, to = (t - first_tile) * tile_floats;
    exchange<true, WithKeys>(at, my, view.panels, panel, d, padded, my.dkeys + to, my.dvalues + to);
  });
  write_dq<T>(op, tile, head, my, d, padded);
}

SELFREFINE_INLINE void clear_floats(float* x, int64_t count) { memset(x, 0, static_cast<size_t>(count) * sizeof(float)); }

template <typename T>
void group_of(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t kv_head, float* scratch) {
  const int64_t d = dim(op.qkv, 2), padded = whole_vectors(d), tile_floats = kKeyTile * padded;
  const int64_t tiles = group.key_tiles_end - group.key_tiles_begin, heads = op.num_heads / op.num_kv_heads;
  const BackwardScratch my(scratch, padded, tiles);
  clear_floats(my.dkeys, 2 * tiles * tile_floats);
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    for (int64_t t = group.query_tiles_begin; t < group.query_tiles_end; ++t) {
      visit_query_tile<T, true>(op, view, t, head, kv_head, my, group.key_tiles_begin);
    }
  }
  for (int64_t t = 0; t < tiles; ++t) {
    write_dkv<T>(op, view.key_tiles[group.key_tiles_begin + t], kv_head, my.dkeys + t * tile_floats,
                 my.dvalues + t * tile_floats, d, padded);
  }
}

template <typename T>
void queries_of(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head, float* scratch) {
  const BackwardScratch my(scratch, whole_vectors(dim(op.qkv, 2)), 1);
  const int64_t heads = op.num_heads / op.num_kv_heads;
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    visit_query_tile<T, false>(op, view, query_tile, head, kv_head, my, 0);
  }
}

template <typename T>
void keys_of(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t key_tile, int64_t kv_head,
             float* scratch) {
  const int64_t d = dim(op.qkv, 2), padded = whole_vectors(d), heads = op.num_heads / op.num_kv_heads;
  const BackwardScratch my(scratch, padded, 1);
  const AttentionTile& keys = view.key_tiles[key_tile];
  const int64_t panel = (kv_head * view.panels.tiles + key_tile) * view.panels.size;
  clear_floats(my.dkeys, 2 * kKeyTile * padded);
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    for (int64_t t = group.query_tiles_begin; t < group.query_tiles_end; ++t) {
      const AttentionTile& tile = view.query_tiles[t];
      const AttentionSegment& segment = view.segments[tile.segment];
      const bool is_prefix = segment.prefix_tiles_begin <= key_tile && key_tile < segment.prefix_tiles_end;
      if (tile.segment != keys.segment && !is_prefix) continue;
      Meeting at;
      copy_positions(my.query.positions, tile, data<int32_t>(op.positions));
      if (!meet(at, tile, keys, data<int32_t>(op.positions), my.query.positions, op.window)) continue;
      load_query_tile<T>(op, tile, head, my.query, d, padded);
      exchange<false, true>(at, my, view.panels, panel, d, padded, my.dkeys, my.dvalues);
    }
  }
  write_dkv<T>(op, keys, kv_head, my.dkeys, my.dvalues, d, padded);
}

void backward_group(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t kv_head,
                    float* scratch) {
  by_type(op.qkv, [&](auto type) { group_of<decltype(type)>(op, view, group, kv_head, scratch); });
}

void backward_queries(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                      float* scratch) {
  by_type(op.qkv, [&](auto type) { queries_of<decltype(type)>(op, view, query_tile, kv_head, scratch); });
}

void backward_keys(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t key_tile,
                   int64_t kv_head, float* scratch) {
  by_type(op.qkv, [&](auto type) { keys_of<decltype(type)>(op, view, group, key_tile, kv_head, scratch); });
}

}  // namespace attention
SELFREFINE_ISA_END
