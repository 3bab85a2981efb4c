// Decoding attention: a block serves all query heads of one key/value head of one row, over at most kSplitKeys keys, so
// each key and value is read from memory once. Splits are counted from the first key that the row sees: a row's
// result depends on its own length alone. Their parts are put together in order by combine_kernel.
#pragma once

#include "cuda/lanes.cuh"

namespace selfrefine::cuda {

constexpr int kDecodeThreads = 128, kDecodeWarps = kDecodeThreads / kWarp, kCombineThreads = 128;
constexpr int kSplitKeys = 256;
constexpr int kKeysInFlight = 4;  // of a group of lanes: 8 KiB a warp with the keys of its other groups

template <typename T>
struct DecodeTask {
  T* out;
  const T* qkv;
  const T* k_cache;
  const T* v_cache;
  const int32_t* page_table;
  const int32_t* lengths;
  float* partials;  // (B, H, splits, D + 2): weighted sum of values, highest score, sum of weights; none if one split
  int64_t max_pages, page_size;
  int d, heads, kv_heads, splits, window;
  float scale;
};

/// The keys of a block: row `row` sees [begin, begin + count) of its sequence here.
struct Split {
  int64_t begin;
  int count;  // not positive: the row has no such split
};

template <typename T>
__device__ __forceinline__ Split split_of(const DecodeTask<T>& task, int64_t row, int split) {
  const int64_t length = task.lengths[row];
  const int64_t unseen = task.window > 0 && task.window < length ? length - task.window : 0;
  const int64_t begin = unseen + static_cast<int64_t>(split) * kSplitKeys;
  return {begin, static_cast<int>(min(length - begin, static_cast<int64_t>(kSplitKeys)))};
}

/// scores[head][key] (+)= the part of q . k that dimensions [first, first + 8 kLaneCount) make. A group of kLaneCount
/// lanes takes a key, eight dimensions a lane.
template <typename T, int kHeads, int kLaneCount, bool kPacked>
__device__ __forceinline__ void score_keys(float (&scores)[kHeads][kSplitKeys], const int64_t* offsets,
                                           const DecodeTask<T>& task, const T* query, int heads, int count, int first) {
  constexpr int kGroups = kDecodeThreads / kLaneCount;
  const int lane = static_cast<int>(threadIdx.x) % kLaneCount, group = static_cast<int>(threadIdx.x) / kLaneCount;
  const int at = first + lane * kLanes, wide = task.d - at;
  Lanes q[kHeads];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) q[h] = load_lanes<kPacked>(query + h * task.d + at, h < heads ? wide : 0);
  // Every lane of a warp makes every turn: the sums over a group are warp collectives.
  for (int base = 0; base < count; base += kGroups * kKeysInFlight) {
    RawLanes<T> keys[kKeysInFlight];
#pragma unroll
    for (int i = 0; i < kKeysInFlight; ++i) {
      const int key = base + i * kGroups + group;
      const bool exists = key < count;
      keys[i] = load_raw<kPacked>(task.k_cache + (exists ? offsets[key] : 0) + at, exists ? wide : 0);
    }
#pragma unroll
    for (int i = 0; i < kKeysInFlight; ++i) {
      const int key = base + i * kGroups + group;
      const Lanes k = to_lanes(keys[i]);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float sum = 0;
#pragma unroll
        for (int e = 0; e < kLanes; ++e) sum = fmaf(q[h][e], k[e], sum);
#pragma unroll
        for (int offset = kLaneCount / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullMask, sum, offset);
        if (lane == 0 && key < count) scores[h][key] = first == 0 ? sum : scores[h][key] + sum;
      }
    }
  }
}

/// Scores -> exp(scale score - highest), by a warp a head; highest and sum of each head to `totals`.
template <int kHeads>
__device__ __forceinline__ void weigh_keys(float (&scores)[kHeads][kSplitKeys], float2 (&totals)[kHeads], float scale,
                                           int heads, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int h = static_cast<int>(threadIdx.x) / kWarp; h < heads; h += kDecodeWarps) {
    float highest = -INFINITY, sum = 0;
    for (int j = lane; j < count; j += kWarp) highest = fmaxf(highest, scores[h][j] * scale);
    highest = warp_max(highest);
    for (int j = lane; j < count; j += kWarp) {
      const float weight = expf(scores[h][j] * scale - highest);
      scores[h][j] = weight;
      sum += weight;
    }
    sum = warp_sum(sum);
    if (lane == 0) totals[h] = make_float2(highest, sum);
  }
}

/// sums[warp][head][i] = the weighted values of that warp's keys, dimensions [first, first + 8 kLaneCount).
template <typename T, int kHeads, int kLaneCount, bool kPacked>
__device__ __forceinline__ void add_values(float (&sums)[kDecodeWarps][kHeads][kLaneCount * kLanes],
                                           const float (&weights)[kHeads][kSplitKeys], const int64_t* offsets,
                                           const DecodeTask<T>& task, int count, int first) {
  constexpr int kGroups = kDecodeThreads / kLaneCount;
  const int lane = static_cast<int>(threadIdx.x) % kLaneCount, group = static_cast<int>(threadIdx.x) / kLaneCount;
  const int at = first + lane * kLanes, wide = task.d - at;
  Lanes sum[kHeads] = {};
  for (int base = group; base < count; base += kGroups * kKeysInFlight) {
    RawLanes<T> values[kKeysInFlight];
#pragma unroll
    for (int i = 0; i < kKeysInFlight; ++i) {
      const int key = base + i * kGroups;
      const bool exists = key < count;
      values[i] = load_raw<kPacked>(task.v_cache + (exists ? offsets[key] : 0) + at, exists ? wide : 0);
    }
#pragma unroll
    for (int i = 0; i < kKeysInFlight; ++i) {
      const int key = base + i * kGroups;
      if (key >= count) break;
      const Lanes value = to_lanes(values[i]);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float weight = weights[h][key];
#pragma unroll
        for (int e = 0; e < kLanes; ++e) sum[h][e] = fmaf(weight, value[e], sum[h][e]);
      }
    }
  }
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
#pragma unroll
    for (int e = 0; e < kLanes; ++e) {
#pragma unroll
      for (int offset = kLaneCount; offset < kWarp; offset *= 2) {
        sum[h][e] += __shfl_xor_sync(kFullMask, sum[h][e], offset);
      }
      if (threadIdx.x % kWarp < kLaneCount) sums[warp][h][lane * kLanes + e] = sum[h][e];
    }
  }
}

/// Grid: (rows, key/value heads, splits). The heads of a group go kHeads at a time.
template <typename T, int kHeads, int kLaneCount, bool kPacked>
__global__ void __launch_bounds__(kDecodeThreads) decode_kernel(const __grid_constant__ DecodeTask<T> task) {
  constexpr int kDims = kLaneCount * kLanes;
  __shared__ int64_t offsets[kSplitKeys];
  __shared__ float scores[kHeads][kSplitKeys];
  __shared__ float2 totals[kHeads];
  __shared__ float sums[kDecodeWarps][kHeads][kDims];
  const int64_t row = blockIdx.x, kv_head = blockIdx.y;
  const int split = static_cast<int>(blockIdx.z), thread = static_cast<int>(threadIdx.x);
  const Split keys = split_of(task, row, split);
  const int group = task.heads / task.kv_heads;
  if (keys.count <= 0) {
    if (split > 0) return;
    T* out = task.out + (row * task.heads + kv_head * group) * task.d;  // a row of length 0
    for (int i = thread; i < group * task.d; i += kDecodeThreads) out[i] = from_float<T>(0);
    return;
  }

  for (int j = thread; j < keys.count; j += kDecodeThreads) {
    const int64_t key = keys.begin + j, page = quotient(key, task.page_size);
    const int64_t number = task.page_table[row * task.max_pages + page];
    offsets[j] = ((number * task.kv_heads + kv_head) * task.page_size + key - page * task.page_size) * task.d;
  }
  for (int done = 0; done < group; done += kHeads) {
    const int heads = min(group - done, kHeads);
    const int64_t head = kv_head * group + done;
    const T* query = task.qkv + (row * (task.heads + 2 * task.kv_heads) + head) * task.d;
    for (int first = 0; first < task.d; first += kDims) {
      __syncthreads();
      score_keys<T, kHeads, kLaneCount, kPacked>(scores, offsets, task, query, heads, keys.count, first);
    }
    __syncthreads();
    weigh_keys<kHeads>(scores, totals, task.scale, heads, keys.count);
    for (int first = 0; first < task.d; first += kDims) {
      __syncthreads();
      add_values<T, kHeads, kLaneCount, kPacked>(sums, scores, offsets, task, keys.count, first);
      __syncthreads();
      for (int i = thread; i < heads * kDims; i += kDecodeThreads) {
        const int h = i / kDims, at = i % kDims;
        if (first + at >= task.d) continue;
        float sum = 0;
#pragma unroll
        for (int warp = 0; warp < kDecodeWarps; ++warp) sum += sums[warp][h][at];
        if (task.partials == nullptr) {
          task.out[(row * task.heads + head + h) * task.d + first + at] = from_float<T>(sum / totals[h].y);
        } else {
          task.partials[((row * task.heads + head + h) * task.splits + split) * (task.d + 2) + first + at] = sum;
        }
      }
    }
    if (task.partials != nullptr && thread < heads) {
      float* to = task.partials + ((row * task.heads + head + thread) * task.splits + split) * (task.d + 2) + task.d;
      to[0] = totals[thread].x;
      to[1] = totals[thread].y;
    }
  }
}

/// Puts the splits of a head together; one alone comes out as decode_kernel would have written it. Grid: (rows, heads).
template <typename T>
__global__ void __launch_bounds__(kCombineThreads) combine_kernel(const __grid_constant__ DecodeTask<T> task) {
  const int64_t row = blockIdx.x, head = static_cast<int64_t>(blockIdx.x) * task.heads + blockIdx.y;
  const int64_t stride = task.d + 2;
  const float* partials = task.partials + head * task.splits * stride;
  int splits = 0;
  float highest = -INFINITY;
  for (; splits < task.splits && split_of(task, row, splits).count > 0; ++splits) {
    highest = fmaxf(highest, partials[splits * stride + task.d]);
  }
  if (splits == 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < task.d; i += kCombineThreads) {
    float sum = 0, total = 0;
    for (int s = 0; s < splits; ++s) {
      const float* part = partials + s * stride;
      const float share = expf(part[task.d] - highest);
      sum = fmaf(share, part[i], sum);
      total = fmaf(share, part[task.d + 1], total);
    }
    task.out[head * task.d + i] = from_float<T>(sum / total);
  }
}

}  // namespace selfrefine::cuda
