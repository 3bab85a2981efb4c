// The loss head by the formula, a row of logits at a time. The gradient of the logits is stored as T, like that of any
// activation: with T bfloat16 both products of the backward pass read it rounded.
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

/// Log-probabilities of the whole vocabulary for one row.
template <typename T>
std::vector<double> log_softmax(const T* x, const Tensor& weight) {
  const int64_t v = weight.dim(0), c = weight.dim(1);
  std::vector<double> logits(static_cast<size_t>(v));
  for (int64_t i = 0; i < v; ++i) logits[static_cast<size_t>(i)] = reference::dot(x, weight.as<T>() + i * c, c);
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const double logit : logits) total += std::exp(logit - highest);
  for (double& logit : logits) logit -= highest + std::log(total);
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
    dlogits[i] = store<T>(op.dlogps.as<float>()[m] * ((i == target ? 1.0 : 0.0) - std::exp(logps[i])));
  }
  return dlogits;
}

/// Writes dx of one row and adds its part to dweight, a double copy of the tensor, or empty if there is none.
template <typename T>
void backward_row(const LmHeadLoss& op, int64_t m, std::vector<double>& dweight) {
  const int64_t v = op.weight.dim(0), c = op.weight.dim(1);
  const std::vector<T> dlogits = dlogits_of_row<T>(op, m);
  const T* x = op.x.as<T>() + m * c;
  for (int64_t i = 0; i < v && !dweight.empty(); ++i) {
    const double value = load(dlogits[static_cast<size_t>(i)]);
    for (int64_t j = 0; j < c; ++j) dweight[static_cast<size_t>(i * c + j)] += value * load(x[j]);
  }
  for (int64_t j = 0; j < c; ++j) {
    op.dx.as<T>()[m * c + j] = store<T>(reference::dot(dlogits.data(), op.weight.as<T>() + j, v, c));
  }
}

}  // namespace

void ReferenceBackend::compute(const LmHeadForward& op) {
  expect_in_range("lm_head_forward", "targets", op.targets, 0, op.weight.dim(0));
  write_logps(op, 0, op.x.dim(0));
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
