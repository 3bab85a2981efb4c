// Small device functions that all families share: conversions, 16-byte loads and stores, sums over a warp and a block.
// Sums run in a fixed order, so two runs agree bit for bit.
#pragma once

#include "cuda/language.h"

namespace selfrefine::cuda {

constexpr unsigned kFullMask = 0xffffffffu;
constexpr int kWarp = 32;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) { return x; }
template <>
__device__ __forceinline__ bfloat16 from_float<bfloat16>(float x) { return __float2bfloat16_rn(x); }

/// Elements of T in a 16-byte access.
template <typename T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of T, as one load or store. The address must be divisible by 16.
template <typename T>
struct alignas(16) Pack {
  T values[kPack<T>];
};

template <typename T>
__device__ __forceinline__ Pack<T> load_pack(const T* from) { return *reinterpret_cast<const Pack<T>*>(from); }
template <typename T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T>& pack) { *reinterpret_cast<Pack<T>*>(to) = pack; }

/// True where every row of `columns` elements from these addresses can be read 16 bytes at a time.
template <typename T, typename... Pointers>
bool packable(int64_t columns, Pointers... pointers) {
  return columns % kPack<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullMask, value, offset);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}

/// The sum over all kThreads threads of the block, given to each. Contains two barriers.
template <int kThreads>
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float parts[kThreads / kWarp];
  value = warp_sum(value);
  __syncthreads();  // the readers of the call before are done
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kThreads / kWarp; ++i) sum += parts[i];
  return sum;
}

}  // namespace selfrefine::cuda
