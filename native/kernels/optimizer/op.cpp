// Checks of the optimizer ops.
#include "kernels/optimizer/op.h"

#include "kernels/check.h"

namespace selfrefine {

void SumOfSquares::check() const {
  const char* op = "sum_of_squares";
  expect_real(op, "x", x, 1);
  expect(op, "x", x, {x.dim(0)}, DType::f32);
  expect(op, "out", out, {1}, DType::f64);
}

void AdamWStep::check() const {
  const char* op = "adamw_step";
  expect_real(op, "parameter", parameter, 1);
  const int64_t n = parameter.dim(0);
  expect(op, "parameter", parameter, {n}, parameter.dtype);
  expect(op, "master", master, {n}, DType::f32);
  expect(op, "exp_avg", exp_avg, {n}, DType::f32);
  expect(op, "exp_avg_sq", exp_avg_sq, {n}, DType::f32);
  expect(op, "gradient", gradient, {n}, DType::f32);
  expect_that(op, parameter.dtype != DType::f32 || parameter.data == master.data,
              "a float32 parameter must be the memory of master");
  expect_that(op, step >= 1, "step is counted from 1");
}

}  // namespace selfrefine
