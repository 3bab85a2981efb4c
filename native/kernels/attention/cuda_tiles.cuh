// What the attention kernels share: their arguments, the walk over key tiles, the mask, and products of tiles of
// bfloat16 in shared memory on tensor cores. A tile's rows are padded by 16 bytes: ldmatrix then meets no bank twice.
#pragma once

#include "cuda/device.cuh"
#include "cuda/ptx.cuh"
#include "kernels/attention/cuda_plan.h"

namespace selfrefine::cuda {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

/// Rows of one head, `stride` elements apart.
template <typename T>
struct HeadRows {
  T* first;
  int stride;
  __device__ __forceinline__ T* row(int i) const { return first + int64_t{i} * stride; }
};

template <typename T>
struct AttentionArguments {
  const T* qkv;
  T* out;             // forward: written; backward: read
  float* lse;         // likewise
  const T* dout;
  float2* statistics; // backward: (H, N): lse in base 2, dout.out
  T* dqkv;
  const WorkTile* tiles;
  const int32_t* positions;  // on the device where there is a window
  int rows, heads, kv_heads, d;
  float scale;
  int window;
  bool packed;  // all rows can be accessed 16 bytes at a time

  __device__ __forceinline__ int fused() const { return (heads + 2 * kv_heads) * d; }
  __device__ __forceinline__ int kv_head_of(int head) const { return head / (heads / kv_heads); }
  /// Of the fused rows: head i of queries, keys or values, counted through.
  __device__ __forceinline__ HeadRows<const T> part(int i) const { return {qkv + int64_t{i} * d, fused()}; }
  __device__ __forceinline__ HeadRows<T> dpart(int i) const { return {dqkv + int64_t{i} * d, fused()}; }
  template <typename U>
  __device__ __forceinline__ HeadRows<U> head_of(U* rows, int head) const {
    return {rows + int64_t{head} * d, heads * d};
  }
  /// Whether a window hides the key from the query.
  __device__ __forceinline__ bool beyond_window(int query, int key) const {
    return window > 0 && int64_t{positions[query]} - positions[key] >= window;
  }
};

/// The key tiles that a query tile meets: those of the prefix, then those of its own segment.
struct KeySteps {
  __device__ __forceinline__ KeySteps(const WorkTile& work, int tile_size)
      : tile(work), size(tile_size), prefix((work.prefix_end - work.prefix_begin + tile_size - 1) / tile_size),
        count(prefix + (work.own_end - work.own_begin + tile_size - 1) / tile_size) {}
  __device__ __forceinline__ bool own(int step) const { return step >= prefix; }
  __device__ __forceinline__ int begin(int step) const {
    return own(step) ? tile.own_begin + (step - prefix) * size : tile.prefix_begin + step * size;
  }
  /// Of the keys that exist.
  __device__ __forceinline__ int end(int step) const { return own(step) ? tile.own_end : tile.prefix_end; }

  const WorkTile tile;
  const int size, prefix, count;
};

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }

/// Elements from one row of a tile in shared memory to the next.
template <int kDim>
constexpr int kLine = kDim + 8;

/// The 8 elements of a chunk that may be unaligned, of which `count` exist.
__device__ __forceinline__ Pack<bfloat16> gather_chunk(const bfloat16* from, int count) {
  Pack<bfloat16> pack;
#pragma unroll
  for (int k = 0; k < 8; ++k) pack.values[k] = k < count ? from[k] : from_float<bfloat16>(0.0f);
  return pack;
}

/// `to` (kRows, kDim) = rows [row, row + kRows); those from `end` on and columns from d on are 0. A thread copies the
/// same column of every kStride-th row. The caller ends the group of copies.
template <int kDim, int kRows, int kThreads>
__device__ __forceinline__ void load_tile(bfloat16* to, HeadRows<const bfloat16> from, int row, int end, int d,
                                          bool packed) {
  constexpr int kAcross = kDim <= 32 ? 4 : kDim <= 64 ? 8 : kDim <= 128 ? 16 : 32;  // threads of a row, a power of two
  constexpr int kStride = kThreads / kAcross;
  static_assert(kRows % kStride == 0 && kAcross * 8 >= kDim);
  const int r = static_cast<int>(threadIdx.x) / kAcross, column = static_cast<int>(threadIdx.x) % kAcross * 8;
  if (column >= kDim) return;
  const bfloat16* source = from.row(row + r) + column;
  bfloat16* target = to + r * kLine<kDim> + column;
  const int count = max(0, d - column), left = count > 0 ? end - row - r : 0;
  if (packed) {
#pragma unroll
    for (int i = 0; i < kRows; i += kStride) {
      cp_async_16(target + i * kLine<kDim>, i < left ? source : from.first, i < left);
      source += kStride * int64_t{from.stride};
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < kRows; i += kStride) {
      store_pack(target + i * kLine<kDim>, gather_chunk(source, i < left ? count : 0));
      source += kStride * int64_t{from.stride};
    }
  }
}

/// `to` (kRows) = the statistics of these rows of a head; zeros from `end` on.
template <int kRows, typename T>
__device__ __forceinline__ void load_statistics(float2* to, const AttentionArguments<T>& a, int head, int row,
                                                int end) {
  const int r = static_cast<int>(threadIdx.x);
  const bool exists = row + r < end;
  if (r < kRows) cp_async_8(to + r, a.statistics + (exists ? int64_t{head} * a.rows + row + r : 0), exists);
}

/// One warp stores columns [0, kColumns) of kRows rows of a tile; `column` is where they lie in a row of d.
template <int kDim, int kRows, int kColumns>
__device__ __forceinline__ void store_rows(HeadRows<bfloat16> to, const bfloat16* from, int row, int end, int column,
                                           int d, bool packed) {
  constexpr int kChunks = kColumns / 8;
  for (int i = lane_id(); i < kRows * kChunks; i += kWarp) {
    const int r = i / kChunks, c = i % kChunks * 8;
    if (row + r >= end || column + c >= d) continue;
    const bfloat16* source = from + r * kLine<kDim> + c;
    bfloat16* target = to.row(row + r) + column + c;
    if (packed) {
      store_pack(target, load_pack(source));
    } else {
      for (int k = 0; k < 8 && column + c + k < d; ++k) target[k] = source[k];
    }
  }
}

/// scores += a b^T over kDim, where this warp's 16 kM rows begin at `a` and the 8 kN columns are rows of tile `b`.
template <int kDim, int kM, int kN>
__device__ __forceinline__ void multiply_rows(float (&scores)[kM][kN][4], const bfloat16* a, const bfloat16* b) {
  const int lane = lane_id();
  const bfloat16* a_row = a + lane % 16 * kLine<kDim> + lane / 16 * 8;
  const bfloat16* b_row = b + (lane % 8 + lane / 16 * 8) * kLine<kDim> + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) ldmatrix_x4(left[m], a_row + m * 16 * kLine<kDim> + k);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t right[4];
      ldmatrix_x4(right, b_row + n * 8 * kLine<kDim> + k);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        mma_m16n8k16(scores[m][n], left[m], right[0], right[1]);
        mma_m16n8k16(scores[m][n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// sums += weights rows, where the weights are fragments and the 16 kSteps rows of the tile, its first 8 kN columns,
/// begin at `rows`.
template <int kDim, int kM, int kN, int kSteps>
__device__ __forceinline__ void accumulate_rows(float (&sums)[kM][kN][4], const uint32_t (&weights)[kM][kSteps][4],
                                                const bfloat16* rows) {
  const int lane = lane_id();
  const bfloat16* row = rows + lane % 16 * kLine<kDim> + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t right[4];
      ldmatrix_x4_transposed(right, row + k * 16 * kLine<kDim> + n * 8);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        mma_m16n8k16(sums[m][n], weights[m][k], right[0], right[1]);
        mma_m16n8k16(sums[m][n + 1], weights[m][k], right[2], right[3]);
      }
    }
  }
}

__device__ __forceinline__ uint32_t pack_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

/// Sums of a product as the left operand of the next, rounded to bfloat16: the layouts agree.
template <int kM, int kN>
__device__ __forceinline__ void to_weights(uint32_t (&weights)[kM][kN / 2][4], const float (&values)[kM][kN][4]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        weights[m][n / 2][n % 2 * 2 + half] = pack_pair(values[m][n][2 * half], values[m][n][2 * half + 1]);
      }
    }
  }
}

/// Sums, times a factor that `factor(m, half)` gives to each row, to this warp's rows of a tile.
template <int kDim, int kM, int kN, typename Factor>
__device__ __forceinline__ void to_tile(bfloat16* rows, const float (&sums)[kM][kN][4], Factor factor) {
  const int lane = lane_id();
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float by = factor(m, half);
      bfloat16* row = rows + (m * 16 + half * 8 + lane / 4) * kLine<kDim> + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const uint32_t word = pack_pair(sums[m][n][2 * half] * by, sums[m][n][2 * half + 1] * by);
        memcpy(row + n * 8, &word, sizeof word);
      }
    }
  }
}

/// Minus infinity where visible(row, column) of this warp's scores is false.
template <int kM, int kN, typename Visible>
__device__ __forceinline__ void mask_scores(float (&scores)[kM][kN][4], Visible visible) {
  const int lane = lane_id();
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (!visible(m * 16 + lane / 4 + e / 2 * 8, n * 8 + lane % 4 * 2 + e % 2)) scores[m][n][e] = -INFINITY;
      }
    }
  }
}

/// Masks the scores of query rows from `row` on and the keys of one step; cheap where all are visible. Without
/// kWindow there is none: its code costs registers.
template <bool kWindow = true, int kM, int kN, typename T>
__device__ __forceinline__ void mask_step(float (&scores)[kM][kN][4], const AttentionArguments<T>& a,
                                          const KeySteps& steps, int step, int row) {
  const int key = steps.begin(step), end = steps.end(step);
  const bool own = steps.own(step);
  const int last_row = steps.tile.end - 1;
  if (kWindow && a.window > 0) {
    mask_scores(scores, [&](int i, int j) {
      const bool visible = own ? key + j <= row + i : key + j < end;
      return visible && !a.beyond_window(min(row + i, last_row), min(key + j, end - 1));
    });
  } else if (own && key + 8 * kN - 1 > row) {
    mask_scores(scores, [&](int i, int j) { return key + j <= row + i; });
  } else if (!own && key + 8 * kN > end) {
    mask_scores(scores, [&](int, int j) { return key + j < end; });
  }
}

/// Over the four lanes that hold a row of scores.
__device__ __forceinline__ float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kFullMask, value, 1));
  return fmaxf(value, __shfl_xor_sync(kFullMask, value, 2));
}
__device__ __forceinline__ float row_sum(float value) {
  value += __shfl_xor_sync(kFullMask, value, 1);
  return value + __shfl_xor_sync(kFullMask, value, 2);
}

}  // namespace selfrefine::cuda
