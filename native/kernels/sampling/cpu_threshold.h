// Selection without sorting: where a prefix of the order (logit descending, token ascending) ends.
#pragma once

#include <cstdint>

#include "cpu/row_kernels.h"

namespace selfrefine {

/// One row: logits without NaN, the greatest of them, and the mass of each token relative to the most likely one, which
/// becomes 0 when a filter cuts it.
struct SamplingRow {
  const float* logits;
  float* masses;
  int64_t size;
  float highest;
};

/// Cuts all but the k first tokens of the order, 0 < k < size.
void keep_top_k(const RowKernels& kernels, const SamplingRow& row, int64_t k);

/// Cuts all but the shortest prefix of the order whose mass is at least `mass`; it is never empty.
void keep_top_mass(const RowKernels& kernels, const SamplingRow& row, double mass);

}  // namespace selfrefine
