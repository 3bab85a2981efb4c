// Preference losses by the formulas of op.h, with their derivative by d.
#include <cmath>

#include "kernels/indices.h"
#include "kernels/reference.h"

namespace selfrefine {

namespace {

struct LossAndSlope {
  double loss, slope;  // slope = d loss / d d
};

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

/// log(sigmoid(x)) without overflow: the exponent is never positive.
double log_sigmoid(double x) { return std::fmin(x, 0) - std::log1p(std::exp(-std::fabs(x))); }

LossAndSlope loss_of(const PreferenceLoss& op, double d) {
  const double beta = op.beta, eps = op.label_smoothing, z = beta * d;
  switch (op.kind) {
    case PreferenceKind::sigmoid:
      return {-(1 - eps) * log_sigmoid(z) - eps * log_sigmoid(-z),
              beta * (eps * sigmoid(z) - (1 - eps) * sigmoid(-z))};
    case PreferenceKind::robust:
      return {(-(1 - eps) * log_sigmoid(z) + eps * log_sigmoid(-z)) / (1 - 2 * eps),
              -beta * ((1 - eps) * sigmoid(-z) + eps * sigmoid(z)) / (1 - 2 * eps)};
    case PreferenceKind::hinge:
      return {std::fmax(0, 1 - z), z < 1 ? -beta : 0};
    case PreferenceKind::ipo:
      return {std::pow(d - 1 / (2 * beta), 2), 2 * (d - 1 / (2 * beta))};
  }
  fail(ErrorCode::invalid_argument, "preference_loss: kind is ", static_cast<int>(op.kind), ", expected 0 to 3");
}

struct Sequence {
  int64_t begin, end;
  double divisor;  // number of tokens if the loss looks at token means, else 1
  double ratio;    // (policy - reference) / divisor
};

/// Also writes sequence_logps. The ratio is taken from that rounded sum, because the reference's sum was rounded the
/// same way when it was stored: a policy that equals its reference has ratio 0 exactly, and the loss is ln 2.
Sequence read_sequence(const PreferenceLoss& op, int64_t s) {
  const int32_t* ends = op.sequence_ends.as<int32_t>();
  const int64_t begin = s == 0 ? 0 : ends[s - 1], end = ends[s];
  double sum = 0;
  for (int64_t m = begin; m < end; ++m) sum += op.logps.as<float>()[m];
  float& total = op.sequence_logps.as<float>()[s];
  total = static_cast<float>(sum);
  const bool means = op.length_normalize || op.kind == PreferenceKind::ipo;
  const double divisor = means ? static_cast<double>(end - begin) : 1;
  return {begin, end, divisor, (double{total} - op.reference_logps.as<float>()[s]) / divisor};
}

void fill(const Tensor& dlogps, const Sequence& sequence, double value) {
  for (int64_t m = sequence.begin; m < sequence.end; ++m) dlogps.as<float>()[m] = static_cast<float>(value);
}

}  // namespace

void ReferenceBackend::compute(const PreferenceLoss& op) {
  // A sequence has at least one token, so the first end is at least 1.
  expect_increasing("preference_loss", "sequence_ends", op.sequence_ends, 1, op.logps.dim(0) + 1);
  for (int64_t pair = op.pair_begin; pair < op.pair_end; ++pair) {
    const Sequence chosen = read_sequence(op, 2 * pair), rejected = read_sequence(op, 2 * pair + 1);
    const LossAndSlope result = loss_of(op, chosen.ratio - rejected.ratio);
    op.losses.as<float>()[pair] = static_cast<float>(result.loss);
    const double weighted = op.pair_weight * result.slope;
    fill(op.dlogps, chosen, weighted / chosen.divisor - op.nll_weight);
    fill(op.dlogps, rejected, -weighted / rejected.divisor);
  }
}

}  // namespace selfrefine
