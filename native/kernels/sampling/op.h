// Drawing the next token of each row.
//
// Order of the filters, as in transformers and vLLM: temperature, then top_k, then top_p, then min_p; each looks at the
// distribution that the one before left. temperature 0 is greedy (the first of equal maxima). The draw is by inverse
// CDF in token order, with one uniform u = Philox(key = seed, counter = (prompt, sample, position, 0)): a sample does
// not depend on its batch, nor on when it was drawn.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

struct SampleTokens {
  Tensor tokens;  // (B) i32
  Tensor logps;   // (B) f32: log-probability of the token under the unmodified softmax of the logits
  Tensor logits;  // (B, V) f32, may be overwritten
  Tensor keys;    // (B, 3) i32: prompt, sample, position
  uint64_t seed = 0;
  float temperature = 1;
  int top_k = 0;    // 0 = off
  float top_p = 1;  // 1 = off: the smallest set of most likely tokens whose mass reaches top_p
  float min_p = 0;  // 0 = off: tokens less likely than min_p times the most likely are cut
  void check() const;
};

}  // namespace selfrefine
