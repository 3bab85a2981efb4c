// Attention in float32 without tensor cores, for any head_dim: float32 storage, where every product must be exact to
// float32, and what the tensor-core kernels do not take. 256 threads, as 16 x 16, own tiles of 64 queries and 64 keys;
// thread (y, x) has their elements (y + 16 i, x + 16 j). A block sums 128 columns; wider heads take more blocks, which
// compute the scores again.
#pragma once

#include "kernels/attention/cuda_tiles.cuh"

namespace selfrefine::cuda {

struct Plain {
  static constexpr int kThreads = 256, kSide = 16, kTile = 64, kSteps = 32, kColumns = 128;
  static constexpr int kPer = kTile / kSide;          // rows, and scores in a row, of a thread
  static constexpr int kPerRow = kColumns / kSide;    // columns of a thread
  static constexpr int kOperandLine = kSteps + 1, kWeightLine = kTile + 1;
  float left[kTile * kOperandLine], right[kTile * kOperandLine];
  float weights[kTile * kWeightLine];
  float rows[kSteps * kColumns];
};

__device__ __forceinline__ int plain_y() { return static_cast<int>(threadIdx.x) / Plain::kSide; }
__device__ __forceinline__ int plain_x() { return static_cast<int>(threadIdx.x) % Plain::kSide; }

using PlainScores = float[Plain::kPer][Plain::kPer];
using PlainSums = float[Plain::kPer][Plain::kPerRow];

/// Rows of a tile that exist: the first `count`.
template <typename T>
struct PlainRows {
  HeadRows<const T> head;
  int row, count;
  __device__ __forceinline__ float at(int r, int column, int d) const {
    return r < count && column < d ? to_float(head.row(row + r)[column]) : 0.0f;
  }
};

/// scores = factor left right^T over d columns.
template <typename T>
__device__ __forceinline__ void plain_scores(PlainScores& scores, Plain& my, const PlainRows<T>& left,
                                             const PlainRows<T>& right, int d, float factor = 1) {
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
    for (int j = 0; j < Plain::kPer; ++j) scores[i][j] = 0;
  }
  for (int begin = 0; begin < d; begin += Plain::kSteps) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < Plain::kTile * Plain::kSteps; i += Plain::kThreads) {
      const int r = i / Plain::kSteps, k = i % Plain::kSteps;
      my.left[r * Plain::kOperandLine + k] = left.at(r, begin + k, d);
      my.right[r * Plain::kOperandLine + k] = right.at(r, begin + k, d);
    }
    __syncthreads();
    const int steps = min(Plain::kSteps, d - begin);
    for (int k = 0; k < steps; ++k) {
      float a[Plain::kPer], b[Plain::kPer];
#pragma unroll
      for (int i = 0; i < Plain::kPer; ++i) {
        a[i] = my.left[(plain_y() + i * Plain::kSide) * Plain::kOperandLine + k];
        b[i] = my.right[(plain_x() + i * Plain::kSide) * Plain::kOperandLine + k];
      }
#pragma unroll
      for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
        for (int j = 0; j < Plain::kPer; ++j) scores[i][j] = fmaf(a[i], b[j], scores[i][j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
    for (int j = 0; j < Plain::kPer; ++j) scores[i][j] *= factor;
  }
}

/// my.weights = values, for the next plain_accumulate(): (queries, keys).
__device__ __forceinline__ void plain_weights(Plain& my, const PlainScores& values) {
  __syncthreads();  // nobody reads the weights of before
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
    for (int j = 0; j < Plain::kPer; ++j) {
      const int query = plain_y() + i * Plain::kSide, key = plain_x() + j * Plain::kSide;
      my.weights[query * Plain::kWeightLine + key] = values[i][j];
    }
  }
}

/// sums += weights rows, or weights^T rows, of `columns` columns from `column` on.
template <bool kTransposed, typename T>
__device__ __forceinline__ void plain_accumulate(PlainSums& sums, Plain& my, const PlainRows<T>& rows, int column,
                                                 int d) {
  const int width = min(Plain::kColumns, d - column);
  for (int begin = 0; begin < rows.count; begin += Plain::kSteps) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < Plain::kSteps * Plain::kColumns; i += Plain::kThreads) {
      my.rows[i] = rows.at(begin + i / Plain::kColumns, column + i % Plain::kColumns, d);
    }
    __syncthreads();
    const int steps = min(Plain::kSteps, rows.count - begin);
    for (int k = 0; k < steps; ++k) {
      float weight[Plain::kPer];
#pragma unroll
      for (int i = 0; i < Plain::kPer; ++i) {
        const int r = plain_y() + i * Plain::kSide, at = begin + k;
        weight[i] = my.weights[kTransposed ? at * Plain::kWeightLine + r : r * Plain::kWeightLine + at];
      }
#pragma unroll
      for (int j = 0; j < Plain::kPerRow; ++j) {
        if (j * Plain::kSide >= width) continue;
        const float value = my.rows[k * Plain::kColumns + plain_x() + j * Plain::kSide];
#pragma unroll
        for (int i = 0; i < Plain::kPer; ++i) sums[i][j] = fmaf(weight[i], value, sums[i][j]);
      }
    }
  }
}

/// Over the 16 threads that hold a row of scores.
__device__ __forceinline__ float side_max(float value) {
#pragma unroll
  for (int offset = Plain::kSide / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kFullMask, value, offset));
  }
  return value;
}
__device__ __forceinline__ float side_sum(float value) {
#pragma unroll
  for (int offset = Plain::kSide / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullMask, value, offset);
  return value;
}

/// Rows [row, end) of `to` = sums.
template <typename T>
__device__ __forceinline__ void plain_store(HeadRows<T> to, const PlainSums& sums, int row, int end, int column,
                                            int d) {
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
    for (int j = 0; j < Plain::kPerRow; ++j) {
      const int r = row + plain_y() + i * Plain::kSide, c = column + plain_x() + j * Plain::kSide;
      if (r < end && c < d) to.row(r)[c] = from_float<T>(sums[i][j]);
    }
  }
}

/// Hidden scores of queries [row, row_end) and keys [key, key_end) become minus infinity. `causal`: a query sees no
/// later key.
template <typename T>
__device__ __forceinline__ void plain_mask(PlainScores& scores, const AttentionArguments<T>& a, int row, int row_end,
                                           int key, int key_end, bool causal) {
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
#pragma unroll
    for (int j = 0; j < Plain::kPer; ++j) {
      const int q = row + plain_y() + i * Plain::kSide, k = key + plain_x() + j * Plain::kSide;
      const bool exists = q < row_end && k < key_end;
      if (!exists || (causal && k > q) || a.beyond_window(q, k)) scores[i][j] = -INFINITY;
    }
  }
}

template <typename T>
__device__ __forceinline__ void plain_mask(PlainScores& scores, const AttentionArguments<T>& a, const KeySteps& steps,
                                           int step) {
  plain_mask(scores, a, steps.tile.begin, steps.tile.end, steps.begin(step), steps.end(step), steps.own(step));
}

template <typename T>
__device__ __forceinline__ PlainRows<T> key_step(HeadRows<const T> head, const KeySteps& steps, int step) {
  return {head, steps.begin(step), min(Plain::kTile, steps.end(step) - steps.begin(step))};
}

template <typename T>
__global__ void __launch_bounds__(256, 1) attention_forward_plain(const AttentionArguments<T> a) {
  DYN_SMEM(Plain, memory);
  Plain& my = *memory;
  const int head = static_cast<int>(blockIdx.x) % a.heads, kv_head = a.kv_head_of(head);
  const int column = static_cast<int>(blockIdx.y) * Plain::kColumns;
  const KeySteps steps(a.tiles[blockIdx.x / static_cast<unsigned>(a.heads)], Plain::kTile);
  const WorkTile& tile = steps.tile;
  float highest[Plain::kPer], total[Plain::kPer] = {};
  PlainSums sums = {};
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) highest[i] = -INFINITY;
  for (int step = 0; step < steps.count; ++step) {
    PlainScores scores;
    plain_scores<T>(scores, my, {a.part(head), tile.begin, tile.end - tile.begin},
                    key_step(a.part(a.heads + kv_head), steps, step), a.d, a.scale * kLog2E);
    plain_mask(scores, a, steps, step);
#pragma unroll
    for (int i = 0; i < Plain::kPer; ++i) {
      float most = highest[i], sum = 0;
#pragma unroll
      for (int j = 0; j < Plain::kPer; ++j) most = fmaxf(most, scores[i][j]);
      most = side_max(most);
      const float base = most == -INFINITY ? 0.0f : most, shrink = exp2f(highest[i] - base);
      highest[i] = most;
#pragma unroll
      for (int j = 0; j < Plain::kPer; ++j) sum += scores[i][j] = exp2f(scores[i][j] - base);
      total[i] = fmaf(total[i], shrink, side_sum(sum));
#pragma unroll
      for (int j = 0; j < Plain::kPerRow; ++j) sums[i][j] *= shrink;
    }
    plain_weights(my, scores);
    plain_accumulate<false>(sums, my, key_step(a.part(a.heads + a.kv_heads + kv_head), steps, step), column, a.d);
  }
#pragma unroll
  for (int i = 0; i < Plain::kPer; ++i) {
    const int query = tile.begin + plain_y() + i * Plain::kSide;
    if (column == 0 && plain_x() == 0 && query < tile.end) {
      a.lse[int64_t{query} * a.heads + head] = highest[i] * kLn2 + logf(total[i]);
    }
#pragma unroll
    for (int j = 0; j < Plain::kPerRow; ++j) sums[i][j] /= total[i];
  }
  plain_store(a.head_of(a.out, head), sums, tile.begin, tile.end, column, a.d);
}

}  // namespace selfrefine::cuda
