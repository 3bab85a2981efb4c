// Bisection over the floats themselves, as integers of the same order: at most 32 passes of a few microseconds over the
// row, whatever its distribution. A pass sums non-negative terms in a fixed order, so the sums grow with the set even
// when rounded, as bisection requires.
#include "kernels/sampling/cpu_threshold.h"

#include <cstring>

namespace selfrefine {

namespace {

constexpr uint32_t kSign = 0x80000000u;

uint32_t order_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits & kSign ? ~bits : bits | kSign;
}

float float_of(uint32_t order) {
  const uint32_t bits = order & kSign ? order & ~kSign : ~order;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// A threshold such that the logits >= it weigh at least `wanted`, and those above it less unless it fits exactly; -inf
/// if all together weigh less. weigh(t) is the weight of the logits >= t.
template <typename Weigh>
float find_threshold(float highest, double wanted, const Weigh& weigh) {
  uint32_t low = order_of(-__builtin_inff()), high = order_of(highest);
  while (low < high) {
    const uint32_t middle = low + (high - low + 1) / 2;
    const double weight = weigh(float_of(middle));
    if (weight == wanted) return float_of(middle);
    if (weight > wanted) low = middle;
    else high = middle - 1;
  }
  return float_of(low);
}

/// Keeps the shortest prefix whose weight is at least `wanted`; a token weighs weight_of(token).
template <typename Weigh, typename WeightOf>
void keep_prefix(const RowKernels& kernels, const SamplingRow& row, double wanted, const Weigh& weigh,
                 const WeightOf& weight_of) {
  const float threshold = find_threshold(row.highest, wanted, weigh);
  const double above = threshold < row.highest ? weigh(float_of(order_of(threshold) + 1)) : 0;
  kernels.cut_below(row.masses, row.logits, row.size, threshold);
  double running = above;
  for (int64_t i = 0; i < row.size; ++i) {  // of equal logits the lower tokens are kept
    if (row.logits[i] != threshold) continue;
    if (running >= wanted) row.masses[i] = 0;
    running += weight_of(i);
  }
}

}  // namespace

void keep_top_k(const RowKernels& kernels, const SamplingRow& row, int64_t k) {
  const auto count = [&](float threshold) { return kernels.count_from(row.logits, row.size, threshold); };
  keep_prefix(kernels, row, static_cast<double>(k), count, [](int64_t) { return 1.0; });
}

void keep_top_mass(const RowKernels& kernels, const SamplingRow& row, double mass) {
  const auto weigh = [&](float threshold) {
    return kernels.weight_from(row.masses, row.logits, row.size, threshold);
  };
  keep_prefix(kernels, row, mass, weigh, [&](int64_t i) { return static_cast<double>(row.masses[i]); });
}

}  // namespace selfrefine
