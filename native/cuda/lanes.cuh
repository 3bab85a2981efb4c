// Eight neighbouring values of a row in a thread's registers, as floats: what the kernels that only pass over memory
// load, compute on and store. 16 bytes at a time where the address allows it, one element at a time where not.
#pragma once

#include "cuda/device.cuh"

namespace selfrefine::cuda {

/// Elements of a thread: one 16-byte access of bfloat16, two of float.
constexpr int kLanes = 8;

struct Lanes {
  float values[kLanes];
  __device__ __forceinline__ float& operator[](int i) { return values[i]; }
  __device__ __forceinline__ float operator[](int i) const { return values[i]; }
};

__device__ __forceinline__ void add(Lanes& sum, const Lanes& term) {
#pragma unroll
  for (int i = 0; i < kLanes; ++i) sum[i] += term[i];
}

/// Groups of kLanes that hold `columns` elements.
__host__ __device__ __forceinline__ int64_t lane_groups(int64_t columns) { return (columns + kLanes - 1) / kLanes; }

/// True where every row of `columns` elements from these addresses is whole Lanes of 16-byte accesses.
template <typename T, typename... Pointers>
bool lanes_packable(int64_t columns, Pointers... pointers) {
  return columns % kLanes == 0 && packable<T>(columns, pointers...);
}

/// Lanes as they lie in memory: half the registers when T is bfloat16, for what is loaded long before it is used.
template <typename T>
struct RawLanes {
  Pack<T> packs[kLanes / kPack<T>];
};

/// The first `count` (8 or more: all) values from `from`, zeros for the others. kPacked: `from` is divisible by 16 and
/// `count` is 8 or more, or not positive.
template <bool kPacked, typename T, typename Count>
__device__ __forceinline__ RawLanes<T> load_raw(const T* from, Count count) {
  RawLanes<T> raw;
#pragma unroll
  for (int i = 0; i < kLanes; i += kPack<T>) {
    Pack<T>& pack = raw.packs[i / kPack<T>];
    if (kPacked && count > 0) {
      pack = load_pack(from + i);
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) pack.values[j] = !kPacked && i + j < count ? from[i + j] : from_float<T>(0);
    }
  }
  return raw;
}

template <typename T>
__device__ __forceinline__ Lanes to_lanes(const RawLanes<T>& raw) {
  Lanes lanes;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) lanes[i] = to_float(raw.packs[i / kPack<T>].values[i % kPack<T>]);
  return lanes;
}

template <bool kPacked, typename T, typename Count>
__device__ __forceinline__ Lanes load_lanes(const T* from, Count count) {
  return to_lanes(load_raw<kPacked>(from, count));
}

template <typename T>
__device__ __forceinline__ Pack<T> pack_of(const float* values) {
  Pack<T> pack;
  if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) pack.values[i] = values[i];
  } else {
#pragma unroll
    for (int i = 0; i < kPack<T>; i += 2) {  // one instruction rounds two
      const __nv_bfloat162 pair = __floats2bfloat162_rn(values[i], values[i + 1]);
      pack.values[i] = pair.x;
      pack.values[i + 1] = pair.y;
    }
  }
  return pack;
}

/// Stores the first `count` values, as load_lanes() reads them.
template <bool kPacked, typename T, typename Count>
__device__ __forceinline__ void store_lanes(T* to, const Lanes& lanes, Count count) {
  if (kPacked) {
    if (count <= 0) return;
#pragma unroll
    for (int i = 0; i < kLanes; i += kPack<T>) {
      store_pack(to + i, pack_of<T>(lanes.values + i));
    }
  } else {
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      if (i < count) to[i] = from_float<T>(lanes[i]);
    }
  }
}

/// Blocks of `threads` threads for one thread each.
inline unsigned blocks_for(int64_t count, int threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

/// index / divisor of numbers that are not negative; 64-bit division, slow on a GPU, only where it is needed.
__device__ __forceinline__ int64_t quotient(int64_t index, int64_t divisor) {
  if (((index | divisor) >> 32) == 0) return static_cast<uint32_t>(index) / static_cast<uint32_t>(divisor);
  return index / divisor;
}

/// This thread's number in a one-dimensional grid.
__device__ __forceinline__ int64_t grid_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

}  // namespace selfrefine::cuda
