// AdamW by the formula, each step rounded once to its float32 state.
#include <cmath>

#include "kernels/reference.h"

namespace selfrefine {

void ReferenceBackend::compute(const SumOfSquares& op) {
  double sum = 0;
  for (int64_t i = 0; i < op.x.dim(0); ++i) sum += double{op.x.as<float>()[i]} * op.x.as<float>()[i];
  op.out.as<double>()[0] = sum;
}

void ReferenceBackend::compute(const AdamWStep& op) {
  const double beta1 = op.beta1, beta2 = op.beta2, step = static_cast<double>(op.step);
  const double step_size = op.learning_rate / (1 - std::pow(beta1, step));
  const double correction2 = std::sqrt(1 - std::pow(beta2, step));
  float *master = op.master.as<float>(), *gradient = op.gradient.as<float>();
  float *exp_avg = op.exp_avg.as<float>(), *exp_avg_sq = op.exp_avg_sq.as<float>();
  visit_real(op.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < op.parameter.dim(0); ++i) {
      const double g = double{gradient[i]} * op.gradient_scale;
      const double m = beta1 * exp_avg[i] + (1 - beta1) * g;
      const double v = beta2 * exp_avg_sq[i] + (1 - beta2) * g * g;
      const double decayed = master[i] - op.learning_rate * op.weight_decay * master[i];
      exp_avg[i] = static_cast<float>(m);
      exp_avg_sq[i] = static_cast<float>(v);
      master[i] = static_cast<float>(decayed - step_size * m / (std::sqrt(v) / correction2 + op.eps));
      op.parameter.as<T>()[i] = from_float<T>(master[i]);
      gradient[i] = 0;
    }
  });
}

}  // namespace selfrefine
