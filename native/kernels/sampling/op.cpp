// Checks of the sampling op.
#include "kernels/sampling/op.h"

#include "kernels/check.h"

namespace selfrefine {

void SampleTokens::check() const {
  const char* op = "sample_tokens";
  expect_real(op, "logits", logits, 2);
  const int64_t b = logits.dim(0);
  expect(op, "logits", logits, {b, logits.dim(1)}, DType::f32);
  expect(op, "tokens", tokens, {b}, DType::i32);
  expect(op, "logps", logps, {b}, DType::f32);
  expect(op, "keys", keys, {b, 3}, DType::i32);
  expect_that(op, logits.dim(1) > 0, "the vocabulary is empty");
  expect_that(op, temperature >= 0, "temperature must not be negative");
  expect_that(op, top_k >= 0, "top_k must not be negative");
  expect_that(op, top_p > 0 && top_p <= 1, "top_p must lie in (0, 1]");
  expect_that(op, min_p >= 0 && min_p < 1, "min_p must lie in [0, 1)");
}

}  // namespace selfrefine
