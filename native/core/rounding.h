// Rounding a float to bfloat16 up or down at random, so that the mean is the float: an update far below half a unit in
// the last place is not lost but made now and then. The definition that every backend follows, bit for bit.
// Source: Zamirai et al. 2021, "Revisiting BFloat16 Training".
#pragma once

#include "core/dtype.h"
#include "core/philox.h"

namespace selfrefine {

/// 16 random bits for each number that AdamWStochasticStep stores of an element.
struct RoundingNoise {
  uint32_t parameter, exp_avg, exp_avg_sq;
};

/// A pure function of (seed, step, element). Philox(key = seed, counter = (block, step, 1)) serves two elements 16
/// apart, so that neighbouring vector lanes have neighbouring blocks: of the 32 elements from 32 g on, element l and
/// element 16 + l have block 16 g + l, the first its words 0 and 1, the other its words 2 and 3.
inline RoundingNoise rounding_noise(uint64_t seed, int64_t step, int64_t element) {
  const auto block = static_cast<uint64_t>(element / 32 * 16 + element % 16);
  const PhiloxBlock bits = philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                       static_cast<uint32_t>(step), 1},
                                      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const size_t word = element / 16 % 2 == 0 ? 0 : 2;
  return {bits[word] & 0xffffu, bits[word] >> 16, bits[word + 1] & 0xffffu};
}

/// x as T: itself as float32. As bfloat16, of its two neighbours the one towards zero, or the other if `noise`, 16
/// bits, carries past the bits that are cut: with probability (x's distance from the first) / (their distance).
template <typename T>
inline T round_stochastic(float x, uint32_t noise);

template <>
inline float round_stochastic<float>(float x, uint32_t) { return x; }

template <>
inline bf16 round_stochastic<bf16>(float x, uint32_t noise) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((bits + noise) >> 16)};
}

}  // namespace selfrefine
