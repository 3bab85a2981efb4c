// The pieces of blocked attention: copies of row tiles in float32, transposed copies, products of small tiles, masks.
// Lanes are queries: scores stand as (key, query), so that the softmax of a query needs no sum across lanes.
#pragma once

#include "cpu/view.h"
#include "kernels/attention/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace attention {

constexpr int kVectors = 2;                        // vectors of a query tile
constexpr int kQueries = kVectors * kWidth;        // rows of a query tile
constexpr int kRows = kTileRows >= 12 ? 8 : 4;     // rows of a register tile: accumulators fill the register file

SELFREFINE_INLINE int64_t whole_vectors(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

/// to (capacity, padded) = rows of x times factor; what is beyond `rows` and d is 0.
template <typename T>
SELFREFINE_INLINE void copy_rows(float* to, int64_t capacity, int64_t padded, const T* x, int64_t stride, int64_t rows,
                                 int64_t d, float factor) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < padded; i += kWidth) {
      const int64_t left = d - i;
      const Vec value = left >= kWidth ? load(x + r * stride + i) : load_n(x + r * stride + i, static_cast<int>(left));
      store(to + r * padded + i, value * broadcast(factor));
    }
  }
  memset(to + rows * padded, 0, static_cast<size_t>((capacity - rows) * padded) * sizeof(float));
}

/// to (padded, capacity) = from (capacity, padded) transposed; both are whole vectors.
SELFREFINE_INLINE void transpose_tile(float* to, const float* from, int64_t capacity, int64_t padded) {
  for (int64_t r = 0; r < capacity; r += kWidth) {
    for (int64_t i = 0; i < padded; i += kWidth) {
      Vec block[kWidth];
      for (int k = 0; k < kWidth; ++k) block[k] = load(from + (r + k) * padded + i);
      transpose(block);
      for (int k = 0; k < kWidth; ++k) store(to + (i + k) * capacity + r, block[k]);
    }
  }
}

/// c (Rows, Vectors) += a b over `steps`: a(i, k) at a[i * row_stride + k * step_stride], b(k) at b[k * ldb].
template <int Rows, int Vectors>
SELFREFINE_INLINE void multiply(Vec (&c)[Rows][Vectors], const float* a, int64_t row_stride, int64_t step_stride,
                                const float* b, int64_t ldb, int64_t steps) {
  for (int64_t k = 0; k < steps; ++k, a += step_stride, b += ldb) {
    Vec line[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) line[j] = load(b + j * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec x = broadcast(a[i * row_stride]);
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) c[i][j] = fma(x, line[j], c[i][j]);
    }
  }
}

template <int Rows, int Vectors>
SELFREFINE_INLINE void clear(Vec (&c)[Rows][Vectors]) {
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) c[i][j] = zero();
  }
}

/// c at `to` += a b, one register tile.
template <int Rows, int Vectors>
SELFREFINE_INLINE void add_product_tile(float* to, int64_t ldc, const float* a, int64_t row_stride, int64_t step_stride,
                                        const float* b, int64_t ldb, int64_t steps) {
  Vec c[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) c[i][j] = load(to + i * ldc + j * kWidth);
  }
  multiply(c, a, row_stride, step_stride, b, ldb, steps);
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) store(to + i * ldc + j * kWidth, c[i][j]);
  }
}

/// to (d, kQueries) += rows^T x, where rows is (keys, padded) and x (keys, kQueries): the outputs and dq.
SELFREFINE_INLINE void add_across(float* to, const float* rows, int64_t padded, const float* x, int64_t d, int64_t keys) {
  int64_t i = 0;
  for (; i + kRows <= d; i += kRows) {
    add_product_tile<kRows, kVectors>(to + i * kQueries, kQueries, rows + i, 1, padded, x, kQueries, keys);
  }
  for (; i < d; i += 2) {
    add_product_tile<2, kVectors>(to + i * kQueries, kQueries, rows + i, 1, padded, x, kQueries, keys);
  }
}

/// to (keys in whole register tiles, padded) += x rows, where x is (keys, kQueries) and rows (kQueries, padded): dk, dv.
SELFREFINE_INLINE void add_along(float* to, const float* x, const float* rows, int64_t padded, int64_t keys) {
  for (int64_t key = 0; key < keys; key += kRows) {
    const float* a = x + key * kQueries;
    float* c = to + key * padded;
    int64_t i = 0;
    for (; i + 2 * kWidth <= padded; i += 2 * kWidth) {
      add_product_tile<kRows, 2>(c + i, padded, a, kQueries, 1, rows + i, padded, kQueries);
    }
    if (i < padded) add_product_tile<kRows, 1>(c + i, padded, a, kQueries, 1, rows + i, padded, kQueries);
  }
}

/// Where a query tile and a key tile meet.
struct Meeting {
  int64_t keys;       // of the key tile that some query may see
  bool causal;        // same segment, and some key comes after some query
  int64_t diagonal;   // if causal, key k is visible to the lanes from k + diagonal on
  int window;         // 0 = none of the pairs is cut by the window
  const float* query_positions;     // kQueries of them
  const int32_t* key_positions;
};

/// score, or `hidden` in the lanes whose query does not see the key.
SELFREFINE_INLINE Vec masked(const Meeting& at, int64_t key, int vector, Vec score, Vec hidden) {
  if (at.causal) {
    int64_t hidden_lanes = key + at.diagonal - vector * kWidth;
    hidden_lanes = hidden_lanes < 0 ? 0 : min_of<int64_t>(hidden_lanes, kWidth);
    score = select(first_n(static_cast<int>(hidden_lanes)), hidden, score);
  }
  if (at.window > 0) {
    const Vec distance = load(at.query_positions + vector * kWidth) - broadcast(static_cast<float>(at.key_positions[key]));
    score = select(distance < broadcast(static_cast<float>(at.window)), score, hidden);
  }
  return score;
}

/// Whether every pair (false, at.window = 0), some pairs, or none (true) are cut by the window.
SELFREFINE_INLINE bool outside_window(Meeting& at, int64_t queries, const int32_t* query_positions, int window) {
  at.window = 0;
  if (window == 0) return false;
  int64_t first_query = query_positions[0], last_query = query_positions[0];
  for (int64_t q = 1; q < queries; ++q) {
    first_query = min_of<int64_t>(first_query, query_positions[q]);
    last_query = max_of<int64_t>(last_query, query_positions[q]);
  }
  int64_t first_key = at.key_positions[0], last_key = at.key_positions[0];
  for (int64_t k = 1; k < at.keys; ++k) {
    first_key = min_of<int64_t>(first_key, at.key_positions[k]);
    last_key = max_of<int64_t>(last_key, at.key_positions[k]);
  }
  if (first_query - last_key >= window) return true;
  if (last_query - first_key >= window) at.window = window;
  return false;
}

/// False if no query of the tile sees a key of the other.
SELFREFINE_INLINE bool meet(Meeting& at, const AttentionTile& queries, const AttentionTile& keys, const int32_t* positions,
                            const float* query_positions, int window) {
  const bool same = queries.segment == keys.segment;
  if (same && keys.begin >= queries.end) return false;
  const int64_t end = same ? min_of(keys.end, queries.end) : keys.end;
  at.keys = end - keys.begin;
  at.causal = same && end - 1 > queries.begin;
  at.diagonal = keys.begin - queries.begin;
  at.query_positions = query_positions;
  at.key_positions = positions + keys.begin;
  return !outside_window(at, queries.end - queries.begin, positions + queries.begin, window);
}

SELFREFINE_INLINE void copy_positions(float* to, const AttentionTile& tile, const int32_t* positions) {
  for (int64_t q = 0; q < kQueries; ++q) {
    const int64_t row = tile.begin + q;
    to[q] = static_cast<float>(positions[row < tile.end ? row : tile.end - 1]);
  }
}

}  // namespace attention
SELFREFINE_ISA_END
