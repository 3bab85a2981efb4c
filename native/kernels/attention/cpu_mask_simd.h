// Which query of a query tile sees which key of a key tile: causal order inside a segment, the whole of a prefix, and
// the sliding window on top of both.
#pragma once

#include "kernels/attention/cpu_tiles_simd.h"

SELFREFINE_ISA_BEGIN
namespace attention {

/// Where a query tile and a key tile meet.
struct Meeting {
  int64_t keys;      // of the key tile that some query may see, from its first
  bool causal;       // same segment, and some of the keys come after some query
  int64_t diagonal;  // if causal, key k is seen by the lanes from k + diagonal on
  int window;        // 0 = the window cuts none of the pairs
  const float* query_positions;  // kQueries of them
  const int32_t* key_positions;

  SELFREFINE_INLINE bool hides(int64_t first_key) const { return causal || window > 0 || first_key + kRows > keys; }
};

/// Replaces the elements of c, of keys [first_key, first_key + kRows), whose query does not see the key.
SELFREFINE_INLINE void hide(const Meeting& at, int64_t first_key, Vec (&c)[kRows][kVectors], Vec hidden) {
  for (int i = 0; i < kRows; ++i) {
    const int64_t key = first_key + i;
    for (int j = 0; j < kVectors; ++j) {
      int64_t lanes = key >= at.keys ? kWidth : at.causal ? key + at.diagonal - j * kWidth : 0;
      lanes = max_of<int64_t>(0, min_of<int64_t>(lanes, kWidth));
      c[i][j] = select(first_n(static_cast<int>(lanes)), hidden, c[i][j]);
      if (at.window > 0 && key < at.keys) {
        const Vec position = broadcast(static_cast<float>(at.key_positions[key]));
        const Vec distance = load(at.query_positions + j * kWidth) - position;
        c[i][j] = select(distance < broadcast(static_cast<float>(at.window)), c[i][j], hidden);
      }
    }
  }
}

struct Extent {
  int64_t lowest, highest;
};

SELFREFINE_INLINE Extent extent_of(const int32_t* x, int64_t count) {
  Extent extent{x[0], x[0]};
  for (int64_t i = 1; i < count; ++i) {
    extent.lowest = min_of<int64_t>(extent.lowest, x[i]);
    extent.highest = max_of<int64_t>(extent.highest, x[i]);
  }
  return extent;
}

/// False if no query of the one tile sees a key of the other. query_positions are as copy_positions leaves them.
SELFREFINE_INLINE bool meet(Meeting& at, const AttentionTile& queries, const AttentionTile& keys,
                            const int32_t* positions, const float* query_positions, int window) {
  const bool same = queries.segment == keys.segment;
  if (same && keys.begin >= queries.end) return false;
  const int64_t end = same ? min_of(keys.end, queries.end) : keys.end;
  at.keys = end - keys.begin;
  at.causal = same && end - 1 > queries.begin;
  at.diagonal = keys.begin - queries.begin;
  at.query_positions = query_positions;
  at.key_positions = positions + keys.begin;
  at.window = 0;
  if (window == 0) return true;
  const Extent query = extent_of(positions + queries.begin, queries.end - queries.begin);
  const Extent key = extent_of(at.key_positions, at.keys);
  if (query.highest - key.lowest >= window) at.window = window;
  return query.lowest - key.highest < window;
}

/// Positions of the rows of a query tile as floats, which hold them exactly up to 2^24.
SELFREFINE_INLINE void copy_positions(float* to, const AttentionTile& tile, const int32_t* positions) {
  for (int64_t q = 0; q < kQueries; ++q) {
    to[q] = static_cast<float>(positions[min_of(tile.begin + q, tile.end - 1)]);
  }
}

}  // namespace attention
SELFREFINE_ISA_END
