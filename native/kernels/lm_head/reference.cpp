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
void normalize(std::vector<double>& logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const double logit : logits) total += std::exp(logit - highest);
  for (double& logit : logits) logit -= highest + std::log(total);
}

/// Log-probabilities of the whole vocabulary for one row.
template <typename T>
std::vector<double> log_softmax(const T* x, const Tensor& weight) {
  const int64_t v = weight.dim(0), c = weight.dim(1);
  std::vector<double> logits(static_cast<size_t>(v));
  for (int64_t i = 0; i < v; ++i) logits[static_cast<size_t>(i)] = reference::dot(x, weight.as<T>() + i * c, c);
  normalize(logits);
  return logits;
}

template <typename Op>
void write_logps(const Op& op, int64_t begin, int64_t end) {
  const int64_t c = op.x.dim(1);
  const int32_t* targets = op.targets.template as<int32_t>();
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t m = begin; m < end; ++m) {
      const std::vector<double> logps = log_softmax(op.x.template as<T>() + m * c, op.weight);
      op.logps.template as<float>()[m] = static_cast<float>(logps[static_cast<size_t>(targets[m])]);
    }
  });
}

template <typename T>
std::vector<T> dlogits_of_row(const LmHeadLoss& op, int64_t m) {
  const std::vector<double> logps = log_softmax(op.x.as<T>() + m * op.x.dim(1), op.weight);
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
  write_logps(op, 0, op.x.dim(0));
}

void ReferenceBackend::compute(const LmHeadRows& op) {
  const int64_t v = op.logits.dim(1);
  expect_in_range("lm_head_rows", "targets", op.targets, 0, v);
  for (int64_t m = 0; m < op.logits.dim(0); ++m) {
    const float* logits = op.logits.as<float>() + m * v;
    const auto target = static_cast<size_t>(op.targets.as<int32_t>()[m]);
    std::vector<double> logps(logits, logits + v);
    normalize(logps);
    op.logps.as<float>()[m] = static_cast<float>(logps[target]);
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
    write_logps(op, begin, end);
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
