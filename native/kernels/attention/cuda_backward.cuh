// Attention backward on tensor cores, without atomics: the scores are computed again twice, once by blocks that own
// queries (dq) and once by blocks that own keys (dk, dv). See cpu_backward_simd.h for the formulas. Weights go from one
// product to the next in registers; blocks of keys compute all transposed, so that this holds for them too.
#pragma once

#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

/// p of a score; 0 where it is hidden, minus infinity. Rows that do not exist have a p too, but give nothing to sums:
/// their q, k, v, dout and statistics are 0.
__device__ __forceinline__ float weight_of(float score, float scale, float lse) {
  return exp2_approximate(fmaf(score, scale, -lse));
}

template <int kDim, int kRowTiles, int kKeys>
struct BackwardQueriesShape {
  static constexpr int kThreads = 128, kWarpRows = 16 * kRowTiles, kRows = 4 * kWarpRows;
  static constexpr int kTileBytes = (2 * kRows + 3 * kKeys) * kLine<kDim> * 2;
  static constexpr int kSharedBytes = kTileBytes + kRows * 8;
};

/// dq of a tile of queries of one head.
template <int kDim, int kRowTiles, int kKeys>
__global__ void __launch_bounds__(128) attention_backward_queries_kernel(const AttentionArguments<bfloat16> a) {
  using Shape = BackwardQueriesShape<kDim, kRowTiles, kKeys>;
  constexpr int kThreads = Shape::kThreads, kKeyTile = kKeys * kLine<kDim>;
  DYN_SMEM(bfloat16, memory);
  bfloat16* const queries = memory;
  bfloat16* const douts = queries + Shape::kRows * kLine<kDim>;
  bfloat16* const keys = douts + Shape::kRows * kLine<kDim>;  // two tiles, by turns
  bfloat16* const values = keys + 2 * kKeyTile;
  float2* const statistics = reinterpret_cast<float2*>(values + kKeyTile);
  const int head = static_cast<int>(blockIdx.x) % a.heads, kv_head = a.kv_head_of(head);
  const KeySteps steps(a.tiles[blockIdx.x / static_cast<unsigned>(a.heads)], kKeys);
  const int end = steps.tile.end, warp_row = static_cast<int>(threadIdx.x) / kWarp * Shape::kWarpRows;
  const int row = steps.tile.begin + warp_row;  // this warp's first
  bfloat16* const my_queries = queries + warp_row * kLine<kDim>;
  const bfloat16* const my_douts = douts + warp_row * kLine<kDim>;
  const auto key_rows = a.part(a.heads + kv_head), value_rows = a.part(a.heads + a.kv_heads + kv_head);

  load_tile<kDim, Shape::kRows, kThreads>(queries, a.part(head), steps.tile.begin, end, a.d, a.packed);
  load_tile<kDim, Shape::kRows, kThreads>(douts, a.head_of(a.dout, head), steps.tile.begin, end, a.d, a.packed);
  load_tile<kDim, kKeys, kThreads>(keys, key_rows, steps.begin(0), steps.end(0), a.d, a.packed);
  load_tile<kDim, kKeys, kThreads>(values, value_rows, steps.begin(0), steps.end(0), a.d, a.packed);
  load_statistics<Shape::kRows>(statistics, a, head, steps.tile.begin, end);
  cp_async_commit();
  float sums[kRowTiles][kDim / 8][4] = {};
  for (int step = 0; step < steps.count; ++step) {
    const bfloat16* const my_keys = keys + step % 2 * kKeyTile;
    const bool meets = row < end && !(steps.own(step) && steps.begin(step) >= row + Shape::kWarpRows);
    const bool more = step + 1 < steps.count;
    cp_async_wait<0>();
    __syncthreads();  // keys and values are there, and nobody reads the keys of the step before
    if (more) {
      load_tile<kDim, kKeys, kThreads>(keys + (step + 1) % 2 * kKeyTile, key_rows, steps.begin(step + 1),
                                       steps.end(step + 1), a.d, a.packed);
      cp_async_commit();
    }
    uint32_t weights[kRowTiles][kKeys / 16][4];
    if (meets) {
      float scores[kRowTiles][kKeys / 8][4] = {}, dweights[kRowTiles][kKeys / 8][4] = {};
      multiply_rows<kDim>(scores, my_queries, my_keys);
      mask_step(scores, a, steps, step, row);
      multiply_rows<kDim>(dweights, my_douts, values);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float2 its = statistics[warp_row + m * 16 + half * 8 + lane_id() / 4];
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              const float weight = weight_of(scores[m][n][e], a.scale * kLog2E, its.x);
              dweights[m][n][e] = weight * (dweights[m][n][e] - its.y);
            }
          }
        }
      }
      to_weights(weights, dweights);
    }
    __syncthreads();  // nobody reads the values
    if (more) {
      load_tile<kDim, kKeys, kThreads>(values, value_rows, steps.begin(step + 1), steps.end(step + 1), a.d, a.packed);
      cp_async_commit();
    }
    if (meets) accumulate_rows<kDim>(sums, weights, my_keys);
  }
  if (row >= end) return;
  to_tile<kDim>(my_queries, sums, [&](int, int) { return a.scale; });
  __syncwarp();
  store_rows<kDim, Shape::kWarpRows, kDim>(a.dpart(head), my_queries, row, end, 0, a.d, a.packed);
}

/// The queries that a tile of keys meets: of each head of the group, the same rows.
template <int kQueries>
struct QuerySteps {
  __device__ __forceinline__ QuerySteps(const WorkTile& tile, int first_head, int group)
      : begin(tile.own_begin), end(tile.own_end), row(begin), head(first_head), last_head(first_head + group) {}
  __device__ __forceinline__ bool done() const { return head == last_head; }
  __device__ __forceinline__ void advance() {
    row += kQueries;
    if (row < end) return;
    row = begin;
    ++head;
  }

  const int begin, end;
  int row, head;
  const int last_head;
};

/// kColumnParts warps share the same keys and each sums its part of the columns of dk and dv.
template <int kDim, int kRowTiles, int kQueries, int kColumnParts>
struct BackwardKeysShape {
  static constexpr int kThreads = 128 * kColumnParts, kWarpRows = 16 * kRowTiles, kRows = 4 * kWarpRows;
  static constexpr int kColumns = kDim / kColumnParts;
  static constexpr int kTileBytes = (2 * kRows + 4 * kQueries) * kLine<kDim> * 2;
  static constexpr int kSharedBytes = kTileBytes + 2 * kQueries * 8;
};

/// dk and dv of a tile of keys of one head, from all query heads of its group.
template <int kDim, int kRowTiles, int kQueries, int kColumnParts>
__global__ void __launch_bounds__(128 * kColumnParts)
    attention_backward_keys_kernel(const AttentionArguments<bfloat16> a) {
  using Shape = BackwardKeysShape<kDim, kRowTiles, kQueries, kColumnParts>;
  constexpr int kThreads = Shape::kThreads, kQueryTile = kQueries * kLine<kDim>;
  DYN_SMEM(bfloat16, memory);
  bfloat16* const keys = memory;
  bfloat16* const values = keys + Shape::kRows * kLine<kDim>;
  bfloat16* const queries = values + Shape::kRows * kLine<kDim>;  // two tiles, by turns
  bfloat16* const douts = queries + 2 * kQueryTile;               // likewise
  float2* const statistics = reinterpret_cast<float2*>(douts + 2 * kQueryTile);  // likewise
  const int kv_head = static_cast<int>(blockIdx.x) % a.kv_heads, group = a.heads / a.kv_heads;
  const WorkTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(a.kv_heads)];
  QuerySteps<kQueries> next(tile, kv_head * group, group);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = lane_id();
  const int warp_row = warp % 4 * Shape::kWarpRows, column = warp / 4 * Shape::kColumns;
  const int row = tile.begin + warp_row;  // this warp's first key
  bfloat16* const my_keys = keys + warp_row * kLine<kDim>;
  bfloat16* const my_values = values + warp_row * kLine<kDim>;

  const auto load_next = [&](int buffer) {
    bfloat16 *q = queries + buffer * kQueryTile, *dout = douts + buffer * kQueryTile;
    load_tile<kDim, kQueries, kThreads>(q, a.part(next.head), next.row, next.end, a.d, a.packed);
    load_tile<kDim, kQueries, kThreads>(dout, a.head_of(a.dout, next.head), next.row, next.end, a.d, a.packed);
    load_statistics<kQueries>(statistics + buffer * kQueries, a, next.head, next.row, next.end);
    cp_async_commit();
  };
  const auto key_rows = a.part(a.heads + kv_head), value_rows = a.part(a.heads + a.kv_heads + kv_head);
  load_tile<kDim, Shape::kRows, kThreads>(keys, key_rows, tile.begin, tile.end, a.d, a.packed);
  load_tile<kDim, Shape::kRows, kThreads>(values, value_rows, tile.begin, tile.end, a.d, a.packed);
  load_next(0);
  constexpr int kSums = Shape::kColumns / 8;
  float dkeys[kRowTiles][kSums][4] = {}, dvalues[kRowTiles][kSums][4] = {};
  for (int buffer = 0; !next.done(); buffer ^= 1) {
    const int place = buffer * kQueryTile, first = next.row;
    const float2* const its = statistics + buffer * kQueries + lane % 4 * 2;
    next.advance();
    cp_async_wait<0>();
    __syncthreads();  // the queries are there, and nobody reads those of the step before
    if (!next.done()) load_next(buffer ^ 1);
    if (row >= tile.end || first + kQueries <= row) continue;
    const float scale = a.scale * kLog2E;
    float weights[kRowTiles][kQueries / 8][4] = {}, dweights[kRowTiles][kQueries / 8][4] = {};
    multiply_rows<kDim>(weights, my_keys, queries + place);
    if (a.window > 0) {
      mask_scores(weights, [&](int i, int j) {
        const int key = min(row + i, tile.end - 1), query = min(first + j, next.end - 1);
        return row + i <= first + j && !a.beyond_window(query, key);
      });
    } else if (row + Shape::kWarpRows - 1 > first) {
      mask_scores(weights, [&](int i, int j) { return row + i <= first + j; });
    }
    uint32_t operands[kRowTiles][kQueries / 16][4];
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float its_lse = its[n * 8 + e].x;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          weights[m][n][e] = weight_of(weights[m][n][e], scale, its_lse);
          weights[m][n][e + 2] = weight_of(weights[m][n][e + 2], scale, its_lse);
        }
      }
    }
    multiply_rows<kDim>(dweights, my_values, douts + place);
    to_weights(operands, weights);
    accumulate_rows<kDim>(dvalues, operands, douts + place + column);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float its_delta = its[n * 8 + e].y;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          dweights[m][n][e] = weights[m][n][e] * (dweights[m][n][e] - its_delta);
          dweights[m][n][e + 2] = weights[m][n][e + 2] * (dweights[m][n][e + 2] - its_delta);
        }
      }
    }
    to_weights(operands, dweights);
    accumulate_rows<kDim>(dkeys, operands, queries + place + column);
  }
  __syncthreads();  // nobody reads keys and values
  to_tile<kDim>(my_keys + column, dkeys, [&](int, int) { return a.scale; });
  to_tile<kDim>(my_values + column, dvalues, [](int, int) { return 1.0f; });
  __syncwarp();
  const auto dkey_rows = a.dpart(a.heads + kv_head), dvalue_rows = a.dpart(a.heads + a.kv_heads + kv_head);
  store_rows<kDim, Shape::kWarpRows, Shape::kColumns>(dkey_rows, my_keys + column, row, tile.end, column, a.d,
                                                      a.packed);
  store_rows<kDim, Shape::kWarpRows, Shape::kColumns>(dvalue_rows, my_values + column, row, tile.end, column, a.d,
                                                      a.packed);
}

}  // namespace selfrefine::cuda
