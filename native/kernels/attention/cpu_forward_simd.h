// Attention forward of one query tile: online softmax over key tiles (Dao 2023, "FlashAttention-2"), in base 2.
#pragma once

#include "kernels/attention/cpu_mask_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

/// One query tile of one head and its running sums.
struct ForwardTile {
  float* queries_across;
  float* sums;       // (padded, kQueries): unnormalised output
  float* rows;       // (kQueries, padded): the same, transposed
  float* weights;    // (kKeyTile, kQueries)
  float* positions;  // (kQueries)
  int64_t d, padded;
  float scale;           // of the scores, times log2(e)
  Vec highest[kVectors]; // scaled score
  Vec totals[kVectors];

  ForwardTile(float* memory, int64_t head_dim, float score_scale) {
    d = head_dim;
    padded = whole_vectors(d);
    scale = score_scale * kLog2E;
    queries_across = memory;
    sums = queries_across + padded * kQueries;
    rows = sums + padded * kQueries;
    weights = rows + padded * kQueries;
    positions = weights + kKeyTile * kQueries;
  }
};

int64_t forward_scratch(int64_t d) { return whole_vectors(d) * kQueries * 3 + kKeyTile * kQueries + kQueries; }

/// weights = unscaled scores, -inf where hidden; returns their maximum per query in tops.
template <typename T>
SELFREFINE_INLINE void score(const Meeting& at, const ForwardTile& my, const float* keys_across,
                             Vec (&tops)[kVectors]) {
  const Vec none = broadcast(-__builtin_inff());
  for (int j = 0; j < kVectors; ++j) tops[j] = none;
  for (int64_t key = 0; key < at.keys; key += kRows) {
    Vec c[kRows][kVectors];
    multiply_across<T>(c, keys_across, key, my.queries_across, my.d);
    if (at.hides(key)) hide(at, key, c, none);
    SELFREFINE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      SELFREFINE_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        tops[j] = max(c[i][j], tops[j]);
        store(my.weights + (key + i) * kQueries + j * kWidth, c[i][j]);
      }
    }
  }
}

/// Adds one key tile to the running maximum, total and output of every query.
template <typename T>
SELFREFINE_INLINE void visit_keys(const Meeting& at, ForwardTile& my, const float* keys_across, const float* values) {
  const Vec none = broadcast(-__builtin_inff()), scale = broadcast(my.scale);
  Vec tops[kVectors], shift[kVectors], correction[kVectors];
  score<T>(at, my, keys_across, tops);
  for (int j = 0; j < kVectors; ++j) {
    const Vec highest = max(tops[j] * scale, my.highest[j]);
    shift[j] = select(none < highest, highest, zero());  // a query that has seen nothing yet: 2^(-inf - 0) = 0
    correction[j] = exp2(my.highest[j] - shift[j]);
    my.totals[j] *= correction[j];
    my.highest[j] = highest;
  }
  for (int64_t key = 0; key < at.keys; ++key) {
    for (int j = 0; j < kVectors; ++j) {
      float* weight = my.weights + key * kQueries + j * kWidth;
      const Vec p = exp2(fma(load(weight), scale, -shift[j]));
      store(weight, p);
      my.totals[j] += p;
    }
  }
  for (int64_t i = 0; i < my.d; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      float* sum = my.sums + i * kQueries + j * kWidth;
      store(sum, load(sum) * correction[j]);
    }
  }
  add_across(my.sums, values, my.padded, my.weights, my.d, at.keys);
}

/// Divides by the totals and writes the rows of one head.
template <typename T>
SELFREFINE_INLINE void write_head(const AttentionForward& op, const AttentionTile& tile, int64_t head,
                                  const ForwardTile& my) {
  float highest[kQueries], totals[kQueries];
  for (int j = 0; j < kVectors; ++j) {
    store(highest + j * kWidth, my.highest[j]);
    store(totals + j * kWidth, my.totals[j]);
  }
  transpose_queries(my.rows, my.sums, my.padded);
  for (int64_t q = 0; q < tile.end - tile.begin; ++q) {
    const int64_t row = (tile.begin + q) * op.num_heads + head;
    const Vec share = broadcast(1.0f / totals[q]);
    for_lanes(my.d, [&](int64_t i, int lanes) {
      store_n(data<T>(op.out) + row * my.d + i, load_n(my.rows + q * my.padded + i, lanes) * share, lanes);
    });
    const double log_sum = static_cast<double>(highest[q]) * kLn2 + __builtin_log(static_cast<double>(totals[q]));
    data<float>(op.lse)[row] = static_cast<float>(log_sum);
  }
}

template <typename T>
void forward_tile(const AttentionForward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                  float* scratch) {
  const int64_t d = dim(op.qkv, 2), stride = dim(op.qkv, 1) * d, group = op.num_heads / op.num_kv_heads;
  const AttentionTile& tile = view.query_tiles[query_tile];
  const AttentionSegment& segment = view.segments[tile.segment];
  const int32_t* positions = data<int32_t>(op.positions);
  ForwardTile my(scratch, d, op.scale);
  copy_positions(my.positions, tile, positions);
  const auto visit = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Meeting at;
      if (!meet(at, tile, view.key_tiles[t], positions, my.positions, op.window)) continue;
      const int64_t panel = (kv_head * view.panels.tiles + t) * view.panels.size;
      visit_keys<T>(at, my, view.panels.keys_across + panel, view.panels.values + panel);
    }
  };
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    copy_across<T>(my.queries_across, kQueries,
                   {data<T>(op.qkv) + tile.begin * stride + head * d, stride, tile.end - tile.begin, d});
    clear_floats(my.sums, my.padded * kQueries);
    for (int j = 0; j < kVectors; ++j) {
      my.highest[j] = broadcast(-__builtin_inff());
      my.totals[j] = zero();
    }
    visit(segment.prefix_tiles_begin, segment.prefix_tiles_end);
    visit(segment.key_tiles_begin, segment.key_tiles_end);
    write_head<T>(op, tile, head, my);
  }
}

void forward(const AttentionForward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
             float* scratch) {
  by_type(op.qkv, [&](auto type) { forward_tile<decltype(type)>(op, view, query_tile, kv_head, scratch); });
}

}  // namespace attention
SELFREFINE_ISA_END
