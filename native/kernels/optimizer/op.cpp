// Checks of the optimizer ops, and the factors that all elements share.
#include "kernels/optimizer/op.h"

#include <cmath>

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

void AdamWStochasticStep::check() const {
  const char* op = "adamw_stochastic_step";
  expect_real(op, "parameter", parameter, 1);
  const int64_t n = parameter.dim(0);
  expect(op, "parameter", parameter, {n}, parameter.dtype);
  expect(op, "exp_avg", exp_avg, {n}, parameter.dtype);
  expect(op, "exp_avg_sq", exp_avg_sq, {n}, parameter.dtype);
  expect(op, "gradient", gradient, {n}, DType::f32);
  expect_that(op, step >= 1 && step < int64_t{1} << 32, "step is counted from 1 and below 2^32");
  expect_that(op, first >= 0 && first % kGroup == 0, "first is a multiple of 32");
}

namespace {

template <typename Op>
AdamWFactors factors_of(const Op& op) {
  const double exponent = static_cast<double>(op.step);
  return {op.gradient_scale,
          static_cast<float>(1 - op.learning_rate * op.weight_decay),
          static_cast<float>(op.beta1),
          static_cast<float>(1 - op.beta1),
          static_cast<float>(op.beta2),
          static_cast<float>(1 - op.beta2),
          static_cast<float>(1 / std::sqrt(1 - std::pow(op.beta2, exponent))),
          static_cast<float>(op.eps),
          static_cast<float>(op.learning_rate / (1 - std::pow(op.beta1, exponent)))};
}

}  // namespace

AdamWFactors AdamWStep::factors() const { return factors_of(*this); }
AdamWFactors AdamWStochasticStep::factors() const { return factors_of(*this); }

}  // namespace selfrefine
