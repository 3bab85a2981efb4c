// Attention forward of one query tile: online softmax over key tiles (Dao 2023, "FlashAttention-2").
#pragma once

#include "kernels/attention/cpu_tiles_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

/// Work area of a query tile: the rows of one head, and its running sums.
struct ForwardScratch {
  float* rows;       // (kQueries, padded)
  float* queries;    // (padded, kQueries), scaled
  float* sums;       // (padded, kQueries): unnormalised output
  float* weights;    // (kKeyTile, kQueries)
  float* positions;  // (kQueries)

  ForwardScratch(float* memory, int64_t padded)
      : rows(memory), queries(rows + padded * kQueries), sums(queries + padded * kQueries),
        weights(sums + padded * kQueries), positions(weights + kKeyTile * kQueries) {}
};

int64_t forward_scratch(int64_t d) { return whole_vectors(d) * kQueries * 3 + kKeyTile * kQueries + kQueries; }

/// weights = scores of at.keys keys (whole register tiles of them), masked; tops = their maximum per query.
SELFREFINE_INLINE void score(const Meeting& at, const float* queries, const float* keys_across, int64_t d,
                             float* weights, Vec (&tops)[kVectors]) {
  const Vec hidden = broadcast(-__builtin_inff());
  for (int64_t key = 0; key < at.keys; key += kRows) {
    Vec c[kRows][kVectors];
    clear(c);
    multiply(c, keys_across + key, 1, kKeyTile, queries, kQueries, d);
    for (int i = 0; i < kRows; ++i) {
      if (key + i >= at.keys) break;
      for (int j = 0; j < kVectors; ++j) {
        if (at.causal || at.window > 0) c[i][j] = masked(at, key + i, j, c[i][j], hidden);
        tops[j] = max(c[i][j], tops[j]);
        store(weights + (key + i) * kQueries + j * kWidth, c[i][j]);
      }
    }
  }
}

/// Adds one key tile to the running maximum, total and output of every query.
SELFREFINE_INLINE void visit_keys(const Meeting& at, const ForwardScratch& my, const float* keys_across, const float* values,
                                  int64_t d, int64_t padded, Vec (&highest)[kVectors], Vec (&totals)[kVectors]) {
  const Vec none = broadcast(-__builtin_inff());
  Vec tops[kVectors], shift[kVectors], correction[kVectors];
  for (int j = 0; j < kVectors; ++j) tops[j] = highest[j];
  score(at, my.queries, keys_across, d, my.weights, tops);
  for (int j = 0; j < kVectors; ++j) {
    shift[j] = select(none < tops[j], tops[j], zero());  // a query that has seen nothing yet: exp(-inf - 0) = 0
    correction[j] = exp(highest[j] - shift[j]);
    totals[j] *= correction[j];
    highest[j] = tops[j];
  }
  for (int64_t key = 0; key < at.keys; ++key) {
    for (int j = 0; j < kVectors; ++j) {
      float* weight = my.weights + key * kQueries + j * kWidth;
      const Vec p = exp(load(weight) - shift[j]);
      store(weight, p);
      totals[j] += p;
    }
  }
  for (int64_t i = 0; i < d; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      float* sum = my.sums + i * kQueries + j * kWidth;
      store(sum, load(sum) * correction[j]);
    }
  }
  add_across(my.sums, values, padded, my.weights, d, at.keys);
}

/// Divides by the totals and writes the rows of one head.
template <typename T>
SELFREFINE_INLINE void write_head(const AttentionForward& op, const AttentionTile& tile, int64_t head, const ForwardScratch& my,
                                  int64_t d, int64_t padded, Vec (&highest)[kVectors], Vec (&totals)[kVectors]) {
  float tops[kQueries], sums[kQueries];
  for (int j = 0; j < kVectors; ++j) {
    store(tops + j * kWidth, highest[j]);
    store(sums + j * kWidth, totals[j]);
  }
  for (int64_t r = 0; r < padded; r += kWidth) {
    for (int j = 0; j < kVectors; ++j) {
      Vec block[kWidth];
      for (int k = 0; k < kWidth; ++k) block[k] = load(my.sums + (r + k) * kQueries + j * kWidth);
      transpose(block);
      for (int k = 0; k < kWidth; ++k) store(my.rows + (j * kWidth + k) * padded + r, block[k]);
    }
  }
  for (int64_t q = 0; q < tile.end - tile.begin; ++q) {
    T* out = data<T>(op.out) + ((tile.begin + q) * op.num_heads + head) * d;
    const Vec share = broadcast(1.0f / sums[q]);
    for_lanes(d, [&](int64_t i, int lanes) { store_n(out + i, load_n(my.rows + q * padded + i, lanes) * share, lanes); });
    data<float>(op.lse)[(tile.begin + q) * op.num_heads + head] = tops[q] + __builtin_logf(sums[q]);
  }
}

template <typename T>
SELFREFINE_INLINE void forward_tile(const AttentionForward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head,
                                    float* scratch) {
  const int64_t d = dim(op.qkv, 2), padded = whole_vectors(d), stride = dim(op.qkv, 1) * d;
  const int64_t group = op.num_heads / op.num_kv_heads;
  const AttentionTile& tile = view.query_tiles[query_tile];
  const AttentionSegment& segment = view.segments[tile.segment];
  const int32_t* positions = data<int32_t>(op.positions);
  const ForwardScratch my(scratch, padded);
  copy_positions(my.positions, tile, positions);
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const T* queries = data<T>(op.qkv) + tile.begin * stride + head * d;
    copy_rows(my.rows, kQueries, padded, queries, stride, tile.end - tile.begin, d, op.scale);
    transpose_tile(my.queries, my.rows, kQueries, padded);
    memset(my.sums, 0, static_cast<size_t>(padded * kQueries) * sizeof(float));
    Vec highest[kVectors], totals[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      highest[j] = broadcast(-__builtin_inff());
      totals[j] = zero();
    }
    const auto visit = [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        Meeting at;
        if (!meet(at, tile, view.key_tiles[t], positions, my.positions, op.window)) continue;
        const int64_t panel = (kv_head * view.panels.tiles + t) * view.panels.size;
        visit_keys(at, my, view.panels.keys_across + panel, view.panels.values + panel, d, padded, highest, totals);
      }
    };
    visit(segment.prefix_tiles_begin, segment.prefix_tiles_end);
    visit(segment.key_tiles_begin, segment.key_tiles_end);
    write_head<T>(op, tile, head, my, d, padded, highest, totals);
  }
}

void forward(const AttentionForward& op, const AttentionView& view, int64_t query_tile, int64_t kv_head, float* scratch) {
  by_type(op.qkv, [&](auto type) { forward_tile<decltype(type)>(op, view, query_tile, kv_head, scratch); });
}

}  // namespace attention
SELFREFINE_ISA_END
