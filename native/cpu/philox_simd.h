// Philox4x32-10 in vectors: each lane a block of its own, the numbers of core/philox.h.
#pragma once

#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN

/// The four words of a block, of kWidth blocks.
struct PhiloxWords {
  Words words[4];
};

/// Lane l has counter (low and high half of block + l, counter2, counter3). `block` is a multiple of kWidth.
SELFREFINE_INLINE PhiloxWords philox(int64_t block, uint32_t counter2, uint32_t counter3, uint64_t key) {
  static const uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Words c0;
  __builtin_memcpy(&c0, lanes, sizeof c0);
  c0 += static_cast<uint32_t>(block);
  const Words nothing = {};
  Words c1 = nothing + static_cast<uint32_t>(static_cast<uint64_t>(block) >> 32);
  Words c2 = nothing + counter2, c3 = nothing + counter3;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  SELFREFINE_UNROLL
  for (int round = 0; round < 10; ++round) {
    Words high0, high1;
    const Words low0 = mul_wide(c0, 0xD2511F53u, high0), low1 = mul_wide(c2, 0xCD9E8D57u, high1);
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

SELFREFINE_ISA_END
