// Philox4x32-10 in a thread: the numbers of core/philox.h, whose arrays device code cannot use.
#pragma once

#include "cuda/language.h"

namespace selfrefine::cuda {

__device__ __forceinline__ uint4 philox4x32(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(0xD2511F53u, counter.x), high1 = __umulhi(0xCD9E8D57u, counter.z);
    counter = make_uint4(high1 ^ counter.y ^ key.x, 0xCD9E8D57u * counter.z, high0 ^ counter.w ^ key.y,
                         0xD2511F53u * counter.x);
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return counter;
}

/// uniform_open() of core/philox.h.
__device__ __forceinline__ float uniform_in_open(uint32_t bits) {
  return (static_cast<float>(bits >> 8) + 0.5f) * 0x1p-24f;
}

}  // namespace selfrefine::cuda
