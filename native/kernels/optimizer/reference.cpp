// AdamW by the formula, each step rounded once to what is stored of it.
#include <cmath>

#include "core/rounding.h"
#include "kernels/reference.h"

namespace selfrefine {

namespace {

struct Element {
  double parameter, exp_avg, exp_avg_sq;
};

template <typename Op>
class Formula {
 public:
  explicit Formula(const Op& op)
      : op_(op), step_size_(op.learning_rate / (1 - std::pow(op.beta1, static_cast<double>(op.step)))),
        correction2_(std::sqrt(1 - std::pow(op.beta2, static_cast<double>(op.step)))) {}

  Element operator()(const Element& old, float gradient) const {
    const double g = double{gradient} * op_.gradient_scale;
    const double m = op_.beta1 * old.exp_avg + (1 - op_.beta1) * g;
    const double v = op_.beta2 * old.exp_avg_sq + (1 - op_.beta2) * g * g;
    const double decayed = old.parameter - op_.learning_rate * op_.weight_decay * old.parameter;
    return {decayed - step_size_ * m / (std::sqrt(v) / correction2_ + op_.eps), m, v};
  }

 private:
  const Op& op_;
  double step_size_, correction2_;
};

}  // namespace

void ReferenceBackend::compute(const SumOfSquares& op) {
  double sum = 0;
  for (int64_t i = 0; i < op.x.dim(0); ++i) sum += double{op.x.as<float>()[i]} * op.x.as<float>()[i];
  op.out.as<double>()[0] = sum;
}

void ReferenceBackend::compute(const AdamWStep& op) {
  const Formula step(op);
  float *master = op.master.as<float>(), *gradient = op.gradient.as<float>();
  float *exp_avg = op.exp_avg.as<float>(), *exp_avg_sq = op.exp_avg_sq.as<float>();
  visit_real(op.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < op.parameter.dim(0); ++i) {
      const Element next = step({master[i], exp_avg[i], exp_avg_sq[i]}, gradient[i]);
      exp_avg[i] = static_cast<float>(next.exp_avg);
      exp_avg_sq[i] = static_cast<float>(next.exp_avg_sq);
      master[i] = static_cast<float>(next.parameter);
      op.parameter.as<T>()[i] = from_float<T>(master[i]);
      gradient[i] = 0;
    }
  });
}

void ReferenceBackend::compute(const AdamWStochasticStep& op) {
  const Formula step(op);
  float* gradient = op.gradient.as<float>();
  visit_real(op.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    T *parameter = op.parameter.as<T>(), *exp_avg = op.exp_avg.as<T>(), *exp_avg_sq = op.exp_avg_sq.as<T>();
    for (int64_t i = 0; i < op.parameter.dim(0); ++i) {
      const Element next = step({to_float(parameter[i]), to_float(exp_avg[i]), to_float(exp_avg_sq[i])}, gradient[i]);
      const RoundingNoise noise = rounding_noise(op.seed, op.step, op.first + i);
      parameter[i] = round_stochastic<T>(static_cast<float>(next.parameter), noise.parameter);
      exp_avg[i] = round_stochastic<T>(static_cast<float>(next.exp_avg), noise.exp_avg);
      exp_avg_sq[i] = round_stochastic<T>(static_cast<float>(next.exp_avg_sq), noise.exp_avg_sq);
      gradient[i] = 0;
    }
  });
}

}  // namespace selfrefine
