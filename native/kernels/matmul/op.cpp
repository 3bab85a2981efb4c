// Checks of the linear-layer ops.
#include "kernels/matmul/op.h"

#include "kernels/check.h"

namespace selfrefine {

void MatmulForward::check() const {
  const char* op = "matmul_forward";
  expect_real(op, "x", x, 2);
  expect_real(op, "weight", weight, 2);
  const int64_t n = x.dim(0), i = x.dim(1), o = weight.dim(0);
  expect(op, "weight", weight, {o, i}, x.dtype);
  expect(op, "out", out, {n, o}, out.dtype == DType::f32 ? DType::f32 : x.dtype);
  expect_optional(op, "bias", bias, {o}, x.dtype);
  expect_optional(op, "residual", residual, {n, o}, out.dtype);
}

void MatmulBackwardInput::check() const {
  const char* op = "matmul_backward_input";
  expect_real(op, "dout", dout, 2);
  expect_real(op, "weight", weight, 2);
  expect(op, "weight", weight, {dout.dim(1), weight.dim(1)}, dout.dtype);
  expect(op, "dx", dx, {dout.dim(0), weight.dim(1)}, dout.dtype);
}

void MatmulBackwardWeight::check() const {
  const char* op = "matmul_backward_weight";
  expect_real(op, "dout", dout, 2);
  expect_real(op, "x", x, 2);
  expect(op, "x", x, {dout.dim(0), x.dim(1)}, dout.dtype);
  expect(op, "dweight", dweight, {dout.dim(1), x.dim(1)}, DType::f32);
  expect_optional(op, "dbias", dbias, {dout.dim(1)}, DType::f32);
}

}  // namespace selfrefine
