// The plain kernels' way back: one for dq, one for dk and dv, as in cuda_backward.cuh.
#pragma once

#include "kernels/attention/cuda_plain.cuh"

namespace selfrefine::cuda {

/// Masked scores of queries [row, end) become p; dweights, dout.v, become scale ds.
template <typename T>
__device__ __forceinline__ void plain_differentiate(PlainScores& scores, PlainScores& dweights,
                                                    const AttentionArguments<T>& a, int head, int row, int end) {
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
    const int query = row + plain_y() + i * Plain::kSide;
    const float2 its = query < end ? a.statistics[int64_t{head} * a.rows + query] : make_float2(0, 0);
#pragma unroll
    for (int j = 0; j < Plain::kPer; ++j) {
      scores[i][j] = exp2f(scores[i][j] - its.x);
      dweights[i][j] = a.scale * scores[i][j] * (dweights[i][j] - its.y);
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(256, 1) attention_backward_queries_plain(const AttentionArguments<T> a) {
  DYN_SMEM(Plain, memory);
  Plain& my = *memory;
  const int head = static_cast<int>(blockIdx.x) % a.heads, kv_head = a.kv_head_of(head);
  const int column = static_cast<int>(blockIdx.y) * Plain::kColumns;
  const KeySteps steps(a.tiles[blockIdx.x / static_cast<unsigned>(a.heads)], Plain::kTile);
  const WorkTile& tile = steps.tile;
  const int rows = tile.end - tile.begin;
  PlainSums sums = {};
  for (int step = 0; step < steps.count; ++step) {
    const PlainRows<T> keys = key_step(a.part(a.heads + kv_head), steps, step);
    const PlainRows<T> values = key_step(a.part(a.heads + a.kv_heads + kv_head), steps, step);
    PlainScores scores, dweights;
    plain_scores<T>(scores, my, {a.part(head), tile.begin, rows}, keys, a.d, a.scale * kLog2E);
    plain_mask(scores, a, steps, step);
    plain_scores<T>(dweights, my, {a.head_of(a.dout, head), tile.begin, rows}, values, a.d);
    plain_differentiate(scores, dweights, a, head, tile.begin, tile.end);
    plain_weights(my, dweights);
    plain_accumulate<false>(sums, my, keys, column, a.d);
  }
  plain_store(a.dpart(head), sums, tile.begin, tile.end, column, a.d);
}

template <typename T>
__global__ void __launch_bounds__(256, 1) attention_backward_keys_plain(const AttentionArguments<T> a) {
  DYN_SMEM(Plain, memory);
  Plain& my = *memory;
  const int kv_head = static_cast<int>(blockIdx.x) % a.kv_heads, group = a.heads / a.kv_heads;
  const int column = static_cast<int>(blockIdx.y) * Plain::kColumns;
  const WorkTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(a.kv_heads)];
  const int count = tile.end - tile.begin;
  const PlainRows<T> keys{a.part(a.heads + kv_head), tile.begin, count};
  const PlainRows<T> values{a.part(a.heads + a.kv_heads + kv_head), tile.begin, count};
  PlainSums dkeys = {}, dvalues = {};
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (int row = tile.own_begin; row < tile.own_end; row += Plain::kTile) {
      const int rows = min(Plain::kTile, tile.own_end - row);
      const PlainRows<T> queries{a.part(head), row, rows}, douts{a.head_of(a.dout, head), row, rows};
      PlainScores scores, dweights;
      plain_scores(scores, my, queries, keys, a.d, a.scale * kLog2E);
      plain_mask(scores, a, row, row + rows, tile.begin, tile.end, true);
      plain_scores(dweights, my, douts, values, a.d);
      plain_differentiate(scores, dweights, a, head, row, row + rows);
      plain_weights(my, scores);
      plain_accumulate<true>(dvalues, my, douts, column, a.d);
      plain_weights(my, dweights);
      plain_accumulate<true>(dkeys, my, queries, column, a.d);
    }
  }
  plain_store(a.dpart(a.heads + kv_head), dkeys, tile.begin, tile.end, column, a.d);
  plain_store(a.dpart(a.heads + a.kv_heads + kv_head), dvalues, tile.begin, tile.end, column, a.d);
}

}  // namespace selfrefine::cuda
