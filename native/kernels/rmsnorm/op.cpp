// Checks of the norm ops.
#include "kernels/rmsnorm/op.h"

#include "kernels/check.h"

namespace selfrefine {

void RmsNormForward::check() const {
  const char* op = "rmsnorm_forward";
  expect_real(op, "x", x, 2);
  expect(op, "out", out, {x.dim(0), x.dim(1)}, x.dtype);
  expect(op, "rstd", rstd, {x.dim(0)}, DType::f32);
  expect(op, "weight", weight, {x.dim(1)}, x.dtype);
}

void RmsNormBackward::check() const {
  const char* op = "rmsnorm_backward";
  expect_real(op, "x", x, 2);
  expect(op, "dx", dx, {x.dim(0), x.dim(1)}, x.dtype);
  expect_optional(op, "dweight", dweight, {x.dim(1)}, DType::f32);
  expect(op, "dout", dout, {x.dim(0), x.dim(1)}, x.dtype);
  expect_optional(op, "dresidual", dresidual, {x.dim(0), x.dim(1)}, x.dtype);
  expect(op, "rstd", rstd, {x.dim(0)}, DType::f32);
  expect(op, "weight", weight, {x.dim(1)}, x.dtype);
}

void HeadNormForward::check() const {
  const char* op = "head_norm_forward";
  expect_real(op, "x", x, 3);
  const int64_t n = x.dim(0), g = num_heads + 2 * int64_t{num_kv_heads}, d = x.dim(2);
  expect(op, "x", x, {n, g, d}, x.dtype);
  expect(op, "out", out, {n, g, d}, x.dtype);
  expect_that(op, out.data != x.data || n == 0, "out must not be the memory of x");
  expect(op, "rstd", rstd, {n, num_heads + num_kv_heads}, DType::f32);
  expect(op, "q_weight", q_weight, {d}, x.dtype);
  expect(op, "k_weight", k_weight, {d}, x.dtype);
}

void HeadNormBackward::check() const {
  const char* op = "head_norm_backward";
  expect_real(op, "x", x, 3);
  const int64_t n = x.dim(0), g = num_heads + 2 * int64_t{num_kv_heads}, d = x.dim(2);
  expect(op, "x", x, {n, g, d}, x.dtype);
  expect(op, "dx", dx, {n, g, d}, x.dtype);
  expect(op, "dout", dout, {n, g, d}, x.dtype);
  expect(op, "rstd", rstd, {n, num_heads + num_kv_heads}, DType::f32);
  expect(op, "q_weight", q_weight, {d}, x.dtype);
  expect(op, "k_weight", k_weight, {d}, x.dtype);
  expect_that(op, !dq_weight == !dk_weight, "dq_weight and dk_weight must both be given or both be absent");
  expect_optional(op, "dq_weight", dq_weight, {d}, DType::f32);
  expect_optional(op, "dk_weight", dk_weight, {d}, DType::f32);
}

}  // namespace selfrefine
