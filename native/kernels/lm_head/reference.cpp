// The loss head by the formula, a row of logits at a time. The gradient of the logits and the scaled rows of x are
// stored as T, like any activation: with T bfloat16 the products of the backward pass read them rounded.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/indices.h"
#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::load;
using reference::store;

namespace {

/// Logits of a row -> log-probabilities of the whole vocabulary.
std::vector<double> normalized(std::vector<double> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const double logit : logits) total += std::exp(logit - highest);
  for (double& logit : logits) logit -= highest + std::log(total);
  return logits;
}

/// Logits of the whole vocabulary for one row.
template <typename T>
std::vector<double> logits_of(const T* x, const Tensor& weight) {
  const int64_t v = weight.dim(0), c = weight.dim(1);
  std::vector<double> logits(static_cast<size_t>(v));
  for (int64_t i = 0; i < v; ++i) logits[static_cast<size_t>(i)] = reference::dot(x, weight.as<T>() + i * c, c);
  return logits;
}

/// A row of `metrics`. What has no probability adds nothing to the entropy.
void write_metrics(float* to, const std::vector<double>& logits, const std::vector<double>& logps, size_t target) {
  double entropy = 0, total = 0;
  bool is_correct = !std::isnan(logps[target]);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (const double p = std::exp(logps[i]); p != 0) entropy -= p * logps[i];
    is_correct = is_correct && logits[target] >= logits[i];
    total += logits[i];
  }
  to[kEntropy] = static_cast<float>(entropy);
  to[kIsCorrect] = is_correct ? 1.0f : 0.0f;
  to[kMeanLogit] = static_cast<float>(total / static_cast<double>(logits.size()));
}

/// The log-probability of row m's target and, unless absent, what is told of the row beside it; `logps` are of the
/// whole vocabulary.
void write_row(const Tensor& logps_out, const Tensor& metrics, const std::vector<double>& logits,
               const std::vector<double>& logps, const Tensor& targets, int64_t m) {
  const auto target = static_cast<size_t>(targets.as<int32_t>()[m]);
  logps_out.as<float>()[m] = static_cast<float>(logps[target]);
  if (metrics) write_metrics(metrics.as<float>() + m * kHeadMetrics, logits, logps, target);
}

template <typename Op>
void write_rows(const Op& op, const Tensor& metrics, int64_t begin, int64_t end) {
  const int64_t c = op.x.dim(1);
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t m = begin; m < end; ++m) {
      const std::vector<double> logits = logits_of(op.x.template as<T>() + m * c, op.weight);
      write_row(op.logps, metrics, logits, normalized(logits), op.targets, m);
    }
  });
}

template <typename T>
std::vector<T> dlogits_of_row(const LmHeadLoss& op, int64_t m) {
  const std::vector<double> logps = normalized(logits_of(op.x.as<T>() + m * op.x.dim(1), op.weight));
  const size_t target = static_cast<size_t>(op.targets.as<int32_t>()[m]);
  std::vector<T> dlogits(logps.size());
  for (size_t i = 0; i < logps.size(); ++i) {
    dlogits[i] = store<T>((i == target ? 1.0 : 0.0) - std::exp(logps[i]));
  }
  return dlogits;
}

/// Writes dx of one row and adds its part to dweight, a double copy of the tensor, or empty if there is none.
template <typename T>
void backward_row(const LmHeadLoss& op, int64_t m, std::vector<double>& dweight) {
  const int64_t v = op.weight.dim(0), c = op.weight.dim(1);
  const std::vector<T> dlogits = dlogits_of_row<T>(op, m);
  const double dlogp = op.dlogps.as<float>()[m];
  for (int64_t j = 0; j < c; ++j) {
    op.dx.as<T>()[m * c + j] = store<T>(dlogp * reference::dot(dlogits.data(), op.weight.as<T>() + j, v, c));
    const double x = load(store<T>(dlogp * load(op.x.as<T>()[m * c + j])));
    for (int64_t i = 0; i < v && !dweight.empty(); ++i) {
      dweight[static_cast<size_t>(i * c + j)] += load(dlogits[static_cast<size_t>(i)]) * x;
    }
  }
}

}  // namespace

void ReferenceBackend::compute(const LmHeadForward& op) {
  expect_in_range("lm_head_forward", "targets", op.targets, 0, op.weight.dim(0));
  write_rows(op, {}, 0, op.x.dim(0));
}

void ReferenceBackend::compute(const LmHeadRows& op) {
  const int64_t v = op.logits.dim(1);
  expect_in_range("lm_head_rows", "targets", op.targets, 0, v);
  for (int64_t m = 0; m < op.logits.dim(0); ++m) {
    const float* row = op.logits.as<float>() + m * v;
    const auto target = static_cast<size_t>(op.targets.as<int32_t>()[m]);
    const std::vector<double> logits(row, row + v), logps = normalized(logits);
    write_row(op.logps, op.metrics, logits, logps, op.targets, m);
    visit_real(op.dlogits.dtype, [&](auto zero) {
      using T = decltype(zero);
      for (size_t i = 0; i < logps.size(); ++i) {
        op.dlogits.as<T>()[m * v + static_cast<int64_t>(i)] = store<T>((i == target ? 1.0 : 0.0) - std::exp(logps[i]));
      }
    });
  }
}

void ReferenceBackend::compute(const LmHeadLoss& op) {
  expect_in_range("lm_head_loss", "targets", op.targets, 0, op.weight.dim(0));
  std::vector<double> dweight(static_cast<size_t>(op.dweight ? op.dweight.elements() : 0));
  int64_t begin = 0;
  for (const int64_t end : op.chunk_ends) {
    write_rows(op, op.metrics, begin, end);
    if (op.on_chunk) op.on_chunk(begin, end);
    visit_real(op.x.dtype, [&](auto zero) {
      for (int64_t m = begin; m < end; ++m) backward_row<decltype(zero)>(op, m, dweight);
    });
    begin = end;
  }
  float* sums = op.dweight.as<float>();
  for (size_t i = 0; i < dweight.size(); ++i) sums[i] = static_cast<float>(sums[i] + dweight[i]);
}

}  // namespace selfrefine
