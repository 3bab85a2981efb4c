// Checks of the loss-head ops.
#include "kernels/lm_head/op.h"

#include "kernels/check.h"

namespace selfrefine {

void LmHeadForward::check() const {
  const char* op = "lm_head_forward";
  expect_real(op, "x", x, 2);
  expect_real(op, "weight", weight, 2);
  expect(op, "weight", weight, {weight.dim(0), x.dim(1)}, x.dtype);
  expect(op, "logps", logps, {x.dim(0)}, DType::f32);
  expect(op, "targets", targets, {x.dim(0)}, DType::i32);
}

void LmHeadRows::check() const {
  const char* op = "lm_head_rows";
  expect_real(op, "dlogits", dlogits, 2);
  expect(op, "logits", logits, {dlogits.dim(0), dlogits.dim(1)}, DType::f32);
  expect(op, "logps", logps, {dlogits.dim(0)}, DType::f32);
  expect_optional(op, "metrics", metrics, {dlogits.dim(0), kHeadMetrics}, DType::f32);
  expect(op, "targets", targets, {dlogits.dim(0)}, DType::i32);
}

void LmHeadLoss::check() const {
  const char* op = "lm_head_loss";
  expect_real(op, "x", x, 2);
  expect_real(op, "weight", weight, 2);
  const int64_t m = x.dim(0), c = x.dim(1), v = weight.dim(0);
  expect(op, "weight", weight, {v, c}, x.dtype);
  expect(op, "logps", logps, {m}, DType::f32);
  expect_optional(op, "metrics", metrics, {m, kHeadMetrics}, DType::f32);
  expect(op, "dx", dx, {m, c}, x.dtype);
  expect_optional(op, "dweight", dweight, {v, c}, DType::f32);
  expect(op, "dlogps", dlogps, {m}, DType::f32);
  expect(op, "targets", targets, {m}, DType::i32);
  int64_t begin = 0;
  for (const int64_t end : chunk_ends) {
    expect_that(op, end > begin, "chunk_ends must increase");
    begin = end;
  }
  expect_that(op, begin == m, "the last of chunk_ends must be the number of rows");
}

}  // namespace selfrefine
