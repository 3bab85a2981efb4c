// Radix selection: the logits as integers of the same order, eleven bits at a time from the top. Of each digit only the
// tokens of the one bin where the prefix ends are looked at again.
#include "kernels/sampling/cpu_threshold.h"

#include <cstring>
#include <numeric>
#include <vector>

namespace selfrefine {

namespace {

/// -0 counts as 0.
uint32_t order_key(float x) {
  const float value = x + 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Digit {
  int shift;
  uint32_t bins;
  uint32_t of(uint32_t key) const { return (key >> shift) % bins; }
};

constexpr Digit kDigits[] = {{21, 2048}, {10, 2048}, {0, 1024}};

/// The bin, from the top, in which the sum of weights reaches `wanted`, else the lowest; `above` takes the bins above.
template <typename Weight>
uint32_t find_bin(const SamplingRow& row, const std::vector<int32_t>& tokens, Digit digit, double wanted, double& above,
                  const Weight& weight) {
  double sums[2048] = {};
  uint32_t lowest = digit.bins;
  for (const int32_t token : tokens) {
    const uint32_t bin = digit.of(order_key(row.logits[token]));
    sums[bin] += weight(token);
    if (bin < lowest) lowest = bin;
  }
  uint32_t bin = digit.bins - 1;
  for (; bin > lowest && above + sums[bin] < wanted; --bin) above += sums[bin];
  return bin;
}

/// Keeps the shortest prefix whose weights reach `wanted`.
template <typename Weight>
void keep_prefix(const SamplingRow& row, double wanted, const Weight& weight) {
  std::vector<int32_t> tokens(static_cast<size_t>(row.size)), narrowed;
  std::iota(tokens.begin(), tokens.end(), 0);
  double above = 0;
  uint32_t key = 0;
  for (const Digit digit : kDigits) {
    const uint32_t bin = find_bin(row, tokens, digit, wanted, above, weight);
    narrowed.clear();
    for (const int32_t token : tokens) {
      if (digit.of(order_key(row.logits[token])) == bin) narrowed.push_back(token);
    }
    tokens.swap(narrowed);
    key |= bin << digit.shift;
  }
  int64_t ties = 0;  // tokens of the lowest kept logit that are kept: the first ones
  for (const int32_t token : tokens) {
    if (above >= wanted) break;
    above += weight(token);
    ++ties;
  }
  for (int64_t i = 0; i < row.size; ++i) {
    const uint32_t own = order_key(row.logits[i]);
    if (own < key || (own == key && ties-- <= 0)) row.masses[i] = 0;
  }
}

}  // namespace

void keep_top_k(const SamplingRow& row, int64_t k) {
  keep_prefix(row, static_cast<double>(k), [](int32_t) { return 1.0; });
}

void keep_top_mass(const SamplingRow& row, double mass) {
  keep_prefix(row, mass, [&](int32_t token) { return static_cast<double>(row.masses[token]); });
}

}  // namespace selfrefine
