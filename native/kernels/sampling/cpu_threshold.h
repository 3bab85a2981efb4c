// Selection without sorting: where a prefix of the order (logit descending, token ascending) ends.
#pragma once

#include <cstdint>

namespace selfrefine {

/// One row: logits, and the mass of each token relative to the most likely one; 0 once a filter has cut it.
struct SamplingRow {
  const float* logits;
  float* masses;
  int64_t size;
};

/// Cuts all but the k first tokens of the order, 0 < k < size.
void keep_top_k(const SamplingRow& row, int64_t k);

/// Cuts all but the shortest prefix of the order whose mass is at least `mass`; it is never empty.
void keep_top_mass(const SamplingRow& row, double mass);

}  // namespace selfrefine
