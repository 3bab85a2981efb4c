// Sampling on the CPU, a row a task. The order of the filters and the details that decide on ties are those of the
// reference; a token that a filter cuts gets mass 0.
#include <algorithm>
#include <cmath>

#include "core/philox.h"
#include "cpu/cpu_backend.h"
#include "kernels/sampling/cpu_threshold.h"

namespace selfrefine {

namespace {

float uniform_of(const SampleTokens& op, int64_t b) {
  const int32_t* key = op.keys.as<int32_t>() + 3 * b;
  const PhiloxBlock counter = {static_cast<uint32_t>(key[0]), static_cast<uint32_t>(key[1]),
                               static_cast<uint32_t>(key[2]), 0};
  return uniform_open(philox4x32(counter, {static_cast<uint32_t>(op.seed), static_cast<uint32_t>(op.seed >> 32)})[0]);
}

/// The first token at which the running mass exceeds `share` of the whole; a first pass over blocks finds the block.
int32_t draw(const RowKernels& kernels, const SamplingRow& row, double share) {
  constexpr int64_t kBlock = 1024;
  const double wanted = share * kernels.sum(row.masses, row.size);
  double running = 0;
  int64_t begin = 0;
  for (; begin + kBlock < row.size; begin += kBlock) {
    const double block = kernels.sum(row.masses + begin, kBlock);
    if (running + block > wanted) break;
    running += block;
  }
  for (int64_t i = begin; i < row.size; ++i) {
    running += static_cast<double>(row.masses[i]);
    if (running > wanted && row.masses[i] > 0) return static_cast<int32_t>(i);
  }
  int64_t last = row.size - 1;  // rounding kept the sum below
  while (row.masses[last] == 0) --last;
  return static_cast<int32_t>(last);
}

}  // namespace

int32_t CpuBackend::sample_row(const SampleTokens& op, int64_t b, float highest, float* masses) {
  const int64_t v = op.logits.dim(1);
  const SamplingRow row{op.logits.as<float>() + b * v, masses, v, highest};
  if (op.temperature == 0) return static_cast<int32_t>(std::find(row.logits, row.logits + v, highest) - row.logits);
  const double total = isa_.row.exps(masses, row.logits, v, highest, 1.0f / op.temperature);
  const bool by_count = op.top_k > 0 && op.top_k < v;
  if (by_count) keep_top_k(isa_.row, row, op.top_k);
  if (op.top_p < 1) keep_top_mass(isa_.row, row, op.top_p * (by_count ? isa_.row.sum(masses, v) : total));
  if (op.min_p > 0) {
    for (int64_t i = 0; i < v; ++i) masses[i] = masses[i] < op.min_p ? 0.0f : masses[i];
  }
  return draw(isa_.row, row, uniform_of(op, b));
}

void CpuBackend::compute(const SampleTokens& op) {
  const int64_t v = op.logits.dim(1);
  const ThreadScratch scratch = thread_scratch(v);
  pool_.parallel_for(op.logits.dim(0), [&](int64_t b, int thread) {
    const float* logits = op.logits.as<float>() + b * v;
    const float highest = isa_.row.highest(logits, v);
    const double sum = isa_.row.exp_sum(logits, v, highest);
    if (std::isnan(sum) || std::isinf(highest)) {
      fail(ErrorCode::invalid_argument, "sample_tokens: the logits of row ", b,
           " hold NaN or have no finite maximum; the model's weights are damaged or its training diverged");
    }
    const int32_t token = sample_row(op, b, highest, scratch.of(thread));
    op.tokens.as<int32_t>()[b] = token;
    op.logps.as<float>()[b] = static_cast<float>(double{logits[token]} - highest - std::log(sum));
  });
}

}  // namespace selfrefine
