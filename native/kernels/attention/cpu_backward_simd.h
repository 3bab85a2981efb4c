// Attention backward (Dao 2023, "FlashAttention-2"): the weights are computed again from the log-sum-exp,
//   p = exp(scale q.k - lse)   ds = p (dout.v - delta), delta = dout.out
//   dv += p^T dout   dk += scale ds^T q   dq += scale ds k
// The order of the sums, head by head, query tile by query tile, is the same in one pass and in two.
#pragma once

#include "kernels/attention/cpu_mask_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

/// One query tile of one head, and the work area for what it gives to key tiles and takes from them.
struct BackwardTile {
  float* queries;         // (kQueries, padded)
  float* queries_across;
  float* douts;           // (kQueries, padded)
  float* douts_across;
  float* dq_across;       // (padded, kQueries)
  float* lse;             // (kQueries), in base 2
  float* delta;           // (kQueries)
  float* positions;       // (kQueries)
  float* weights;         // (kKeyTile, kQueries): p
  float* dweights;        // (kKeyTile, kQueries): ds
  float* dkeys;           // (tiles, kKeyTile, padded)
  float* dvalues;         // (tiles, kKeyTile, padded)
  int64_t d, padded, tile_floats;

  BackwardTile(float* memory, int64_t head_dim, int64_t tiles) {
    d = head_dim;
    padded = whole_vectors(d);
    tile_floats = kKeyTile * padded;
    float** const tiles_of_rows[] = {&queries, &queries_across, &douts, &douts_across, &dq_across};
    for (float** part : tiles_of_rows) {
      *part = memory;
      memory += kQueries * padded;
    }
    float** const per_query[] = {&lse, &delta, &positions};
    for (float** part : per_query) {
      *part = memory;
      memory += kQueries;
    }
    weights = memory;
    dweights = weights + kKeyTile * kQueries;
    dkeys = dweights + kKeyTile * kQueries;
    dvalues = dkeys + tiles * tile_floats;
  }
};

int64_t backward_scratch(int64_t d, int64_t key_tiles) {
  const int64_t padded = whole_vectors(d);
  return kQueries * (5 * padded + 3) + 2 * kKeyTile * kQueries + 2 * key_tiles * kKeyTile * padded;
}

template <typename T>
void load_query_tile(const AttentionBackward& op, const AttentionTile& tile, int64_t head, const BackwardTile& my) {
  const int64_t rows = tile.end - tile.begin, d = my.d, qkv_stride = dim(op.qkv, 1) * d, stride = op.num_heads * d;
  const HeadRows<T> queries{data<T>(op.qkv) + tile.begin * qkv_stride + head * d, qkv_stride, rows, d};
  const HeadRows<T> douts{data<T>(op.dout) + tile.begin * stride + head * d, stride, rows, d};
  const T* out = data<T>(op.out) + tile.begin * stride + head * d;
  copy_rows(my.queries, kQueries, queries);
  copy_across(my.queries_across, kQueries, queries);
  copy_rows(my.douts, kQueries, douts);
  copy_across(my.douts_across, kQueries, douts);
  clear_floats(my.lse, kQueries);
  clear_floats(my.delta, kQueries);
  for (int64_t q = 0; q < rows; ++q) {
    Vec dot = zero();
    for_lanes(d, [&](int64_t i, int lanes) {
      dot = fma(load_n(out + q * stride + i, lanes), load_n(my.douts + q * my.padded + i, lanes), dot);
    });
    my.delta[q] = reduce_add(dot);
    my.lse[q] = data<float>(op.lse)[(tile.begin + q) * op.num_heads + head] * kLog2E;
  }
}

/// p and ds of one meeting, for whole register tiles of keys.
template <typename T>
SELFREFINE_INLINE void weigh(const Meeting& at, const BackwardTile& my, const float* keys_across,
                             const float* values_across, float score_scale) {
  const Vec scale = broadcast(score_scale * kLog2E);
  for (int64_t key = 0; key < at.keys; key += kRows) {
    float* weights = my.weights + key * kQueries;
    float* dweights = my.dweights + key * kQueries;
    Vec c[kRows][kVectors];
    multiply_across<T>(c, keys_across, key, my.queries_across, my.d);
    SELFREFINE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      SELFREFINE_UNROLL
      for (int j = 0; j < kVectors; ++j) c[i][j] = exp2(fma(c[i][j], scale, -load(my.lse + j * kWidth)));
    }
    if (at.hides(key)) hide(at, key, c, zero());
    SELFREFINE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      SELFREFINE_UNROLL
      for (int j = 0; j < kVectors; ++j) store(weights + i * kQueries + j * kWidth, c[i][j]);
    }
    multiply_across<T>(c, values_across, key, my.douts_across, my.d);
    SELFREFINE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      SELFREFINE_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        const Vec p = load(weights + i * kQueries + j * kWidth);
        store(dweights + i * kQueries + j * kWidth, p * (c[i][j] - load(my.delta + j * kWidth)));
      }
    }
  }
}

/// Everything that one query tile and one key tile give each other.
template <typename T, bool WithQueries, bool WithKeys>
SELFREFINE_INLINE void exchange(const AttentionBackward& op, const Meeting& at, const BackwardTile& my,
                                const AttentionPanels& panels, int64_t panel, int64_t tile) {
  weigh<T>(at, my, panels.keys_across + panel, panels.values_across + panel, op.scale);
  if constexpr (WithKeys) {
    add_along(my.dvalues + tile * my.tile_floats, my.weights, my.douts, my.padded, at.keys);
    add_along(my.dkeys + tile * my.tile_floats, my.dweights, my.queries, my.padded, at.keys);
  }
  if constexpr (WithQueries) add_across(my.dq_across, panels.keys + panel, my.padded, my.dweights, my.d, at.keys);
}

template <typename T>
SELFREFINE_INLINE void write_dq(const AttentionBackward& op, const AttentionTile& tile, int64_t head,
                                const BackwardTile& my) {
  float* rows = my.douts;  // whose work is done
  transpose_queries(rows, my.dq_across, my.padded);
  for (int64_t q = 0; q < tile.end - tile.begin; ++q) {
    T* dq = data<T>(op.dqkv) + ((tile.begin + q) * dim(op.qkv, 1) + head) * my.d;
    for_lanes(my.d, [&](int64_t i, int lanes) {
      store_n(dq + i, load_n(rows + q * my.padded + i, lanes) * broadcast(op.scale), lanes);
    });
  }
}

/// Writes dk and dv of one key tile, number `tile` of the work area.
template <typename T>
SELFREFINE_INLINE void write_dkv(const AttentionBackward& op, const AttentionTile& keys, int64_t kv_head,
                                 const BackwardTile& my, int64_t tile) {
  for (int64_t k = 0; k < keys.end - keys.begin; ++k) {
    T* dk = data<T>(op.dqkv) + ((keys.begin + k) * dim(op.qkv, 1) + op.num_heads + kv_head) * my.d;
    T* dv = dk + op.num_kv_heads * my.d;
    const int64_t row = tile * my.tile_floats + k * my.padded;
    for_lanes(my.d, [&](int64_t i, int lanes) {
      store_n(dk + i, load_n(my.dkeys + row + i, lanes) * broadcast(op.scale), lanes);
      store_n(dv + i, load_n(my.dvalues + row + i, lanes), lanes);
    });
  }
}

/// One query tile of one head: its dq and, if WithKeys, its share of dk and dv of the key tiles from first_tile on.
template <typename T, bool WithKeys>
void visit_query_tile(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t head,
                      int64_t kv_head, const BackwardTile& my, int64_t first_tile) {
  const AttentionTile& tile = view.query_tiles[query_tile];
  const AttentionSegment& segment = view.segments[tile.segment];
  const int32_t* positions = data<int32_t>(op.positions);
  load_query_tile<T>(op, tile, head, my);
  copy_positions(my.positions, tile, positions);
  clear_floats(my.dq_across, my.padded * kQueries);
  const auto visit = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Meeting at;
      if (!meet(at, tile, view.key_tiles[t], positions, my.positions, op.window)) continue;
      const int64_t panel = (kv_head * view.panels.tiles + t) * view.panels.size;
      exchange<T, true, WithKeys>(op, at, my, view.panels, panel, t - first_tile);
    }
  };
  visit(segment.prefix_tiles_begin, segment.prefix_tiles_end);
  visit(segment.key_tiles_begin, segment.key_tiles_end);
  write_dq<T>(op, tile, head, my);
}

template <typename T>
void group_of(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t kv_head,
              float* scratch) {
  const int64_t tiles = group.key_tiles_end - group.key_tiles_begin, heads = op.num_heads / op.num_kv_heads;
  const BackwardTile my(scratch, dim(op.qkv, 2), tiles);
  clear_floats(my.dkeys, 2 * tiles * my.tile_floats);
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    for (int64_t t = group.query_tiles_begin; t < group.query_tiles_end; ++t) {
      visit_query_tile<T, true>(op, view, t, head, kv_head, my, group.key_tiles_begin);
    }
  }
  for (int64_t t = 0; t < tiles; ++t) write_dkv<T>(op, view.key_tiles[group.key_tiles_begin + t], kv_head, my, t);
}

template <typename T>
void queries_of(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                float* scratch) {
  const BackwardTile my(scratch, dim(op.qkv, 2), 1);
  const int64_t heads = op.num_heads / op.num_kv_heads;
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    visit_query_tile<T, false>(op, view, query_tile, head, kv_head, my, 0);
  }
}

template <typename T>
void keys_of(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group, int64_t key_tile,
             int64_t kv_head, float* scratch) {
  const int64_t heads = op.num_heads / op.num_kv_heads;
  const BackwardTile my(scratch, dim(op.qkv, 2), 1);
  const AttentionTile& keys = view.key_tiles[key_tile];
  const int64_t panel = (kv_head * view.panels.tiles + key_tile) * view.panels.size;
  const int32_t* positions = data<int32_t>(op.positions);
  clear_floats(my.dkeys, 2 * my.tile_floats);
  for (int64_t head = kv_head * heads; head < (kv_head + 1) * heads; ++head) {
    for (int64_t t = group.query_tiles_begin; t < group.query_tiles_end; ++t) {
      const AttentionTile& tile = view.query_tiles[t];
      const AttentionSegment& segment = view.segments[tile.segment];
      const bool is_prefix = segment.prefix_tiles_begin <= key_tile && key_tile < segment.prefix_tiles_end;
      if (tile.segment != keys.segment && !is_prefix) continue;
      Meeting at;
      copy_positions(my.positions, tile, positions);
      if (!meet(at, tile, keys, positions, my.positions, op.window)) continue;
      load_query_tile<T>(op, tile, head, my);
      exchange<T, false, true>(op, at, my, view.panels, panel, 0);
    }
  }
  write_dkv<T>(op, keys, kv_head, my, 0);
}

void backward_group(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group,
                    int64_t kv_head, float* scratch) {
  by_type(op.qkv, [&](auto type) { group_of<decltype(type)>(op, view, group, kv_head, scratch); });
}

void backward_queries(const AttentionBackward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                      float* scratch) {
  by_type(op.qkv, [&](auto type) { queries_of<decltype(type)>(op, view, query_tile, kv_head, scratch); });
}

void backward_keys(const AttentionBackward& op, const AttentionView& view, const AttentionGroup& group,
                   int64_t key_tile, int64_t kv_head, float* scratch) {
  by_type(op.qkv, [&](auto type) { keys_of<decltype(type)>(op, view, group, key_tile, kv_head, scratch); });
}

}  // namespace attention
SELFREFINE_ISA_END
