// Sampling by the definition. Details that make every backend keep the same tokens:
//   top_k  the k highest logits; of equal logits the lower token first
//   top_p  in order of (probability descending, token ascending), the shortest prefix whose mass is at least top_p of
//          the mass that top_k left; never empty
//   min_p  p(token) < min_p * p(most likely) is cut
//   draw   the first kept token, in token order, at which the running mass exceeds u times the kept mass
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/philox.h"
#include "kernels/reference.h"

namespace selfrefine {

namespace {

struct Row {
  const float* logits;
  int64_t size;
  float highest;
};

Row read_row(const SampleTokens& op, int64_t b) {
  const int64_t v = op.logits.dim(1);
  const float* logits = op.logits.as<float>() + b * v;
  const bool has_nan = std::any_of(logits, logits + v, [](float x) { return std::isnan(x); });
  const float highest = *std::max_element(logits, logits + v);
  if (has_nan || std::isinf(highest)) {
    fail(ErrorCode::invalid_argument, "sample_tokens: the logits of row ", b,
         " hold NaN or have no finite maximum; the model's weights are damaged or its training diverged");
  }
  return {logits, v, highest};
}

double log_sum_exp(const Row& row) {
  double total = 0;
  for (int64_t i = 0; i < row.size; ++i) total += std::exp(double{row.logits[i]} - row.highest);
  return row.highest + std::log(total);
}

/// All tokens in order of (logit descending, token ascending).
std::vector<int32_t> ranked(const Row& row) {
  std::vector<int32_t> order(static_cast<size_t>(row.size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row.logits[a] > row.logits[b]; });
  return order;
}

/// Unnormalised probability: that of the most likely token is 1.
double mass_of(const Row& row, int32_t token, double temperature) {
  return std::exp((double{row.logits[token]} - row.highest) / temperature);
}

/// The tokens that pass all filters, most likely first.
std::vector<int32_t> kept_tokens(const SampleTokens& op, const Row& row) {
  std::vector<int32_t> order = ranked(row);
  if (op.top_k > 0 && op.top_k < row.size) order.resize(static_cast<size_t>(op.top_k));
  const auto mass = [&](int32_t token) { return mass_of(row, token, op.temperature); };
  if (op.top_p < 1) {
    double total = 0, running = 0;
    for (const int32_t token : order) total += mass(token);
    size_t kept = 0;
    while (kept < order.size() && running < op.top_p * total) running += mass(order[kept++]);
    order.resize(kept);
  }
  while (mass(order.back()) < op.min_p) order.pop_back();
  return order;
}

float uniform_of(const SampleTokens& op, int64_t b) {
  const int32_t* key = op.keys.as<int32_t>() + 3 * b;
  const PhiloxBlock counter = {static_cast<uint32_t>(key[0]), static_cast<uint32_t>(key[1]),
                               static_cast<uint32_t>(key[2]), 0};
  return uniform_open(philox4x32(counter, {static_cast<uint32_t>(op.seed), static_cast<uint32_t>(op.seed >> 32)})[0]);
}

int32_t draw(const SampleTokens& op, const Row& row, float uniform) {
  std::vector<int32_t> tokens = kept_tokens(op, row);
  std::sort(tokens.begin(), tokens.end());
  double total = 0, running = 0;
  for (const int32_t token : tokens) total += mass_of(row, token, op.temperature);
  for (const int32_t token : tokens) {
    running += mass_of(row, token, op.temperature);
    if (running > uniform * total) return token;
  }
  return tokens.back();
}

}  // namespace

void ReferenceBackend::compute(const SampleTokens& op) {
  for (int64_t b = 0; b < op.logits.dim(0); ++b) {
    const Row row = read_row(op, b);
    const int64_t first_maximum = std::max_element(row.logits, row.logits + row.size) - row.logits;
    const int32_t token =
        op.temperature == 0 ? static_cast<int32_t>(first_maximum) : draw(op, row, uniform_of(op, b));
    op.tokens.as<int32_t>()[b] = token;
    op.logps.as<float>()[b] = static_cast<float>(row.logits[token] - log_sum_exp(row));
  }
}

}  // namespace selfrefine
