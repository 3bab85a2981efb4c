// Attention by the formula: for each query row and head, the list of visible keys, then softmax over it.
// Backward, with p = exp(scale q.k - lse) and delta = dout.out:
//   dv += p dout   ds = p (dout.v - delta)   dq += scale ds k   dk += scale ds q
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/indices.h"
#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::dot;
using reference::load;
using reference::store;

namespace {

/// The keys that query row q of the segment sees, in the order of rows.
std::vector<int64_t> visible_keys(const int32_t* segment, const int32_t* positions, int64_t q, int window) {
  std::vector<int64_t> keys;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t key = begin; key < end; ++key) {
      if (window == 0 || int64_t{positions[q]} - positions[key] < window) keys.push_back(key);
    }
  };
  add(segment[2], segment[3]);
  add(segment[0], q + 1);
  return keys;
}

/// Calls visit(query row, its visible keys) for every row of the batch.
template <typename Op, typename Visit>
void for_each_query(const Op& op, Visit&& visit) {
  for (int64_t s = 0; s < op.segments.dim(0); ++s) {
    const int32_t* segment = op.segments.template as<int32_t>() + 4 * s;
    for (int64_t q = segment[0]; q < segment[1]; ++q) {
      visit(q, visible_keys(segment, op.positions.template as<int32_t>(), q, op.window));
    }
  }
}

/// Where the heads of one query head lie in a fused row, in elements.
struct Heads {
  template <typename Op>
  Heads(const Op& op, int64_t head)
      : d(op.qkv.dim(2)), row(op.qkv.dim(1) * d), q(head * d),
        k((op.num_heads + head / (op.num_heads / op.num_kv_heads)) * d), v(k + op.num_kv_heads * d) {}
  int64_t d, row, q, k, v;
};

template <typename T>
void forward_head(const AttentionForward& op, int64_t query, int64_t head, const std::vector<int64_t>& keys) {
  const Heads at(op, head);
  const T* qkv = op.qkv.as<T>();
  std::vector<double> scores;
  for (const int64_t key : keys) {
    scores.push_back(op.scale * dot(qkv + query * at.row + at.q, qkv + key * at.row + at.k, at.d));
  }
  const double highest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - highest);
  op.lse.as<float>()[query * op.num_heads + head] = static_cast<float>(highest + std::log(total));
  for (int64_t i = 0; i < at.d; ++i) {
    double sum = 0;
    for (size_t j = 0; j < keys.size(); ++j) sum += scores[j] * load(qkv[keys[j] * at.row + at.v + i]);
    op.out.as<T>()[(query * op.num_heads + head) * at.d + i] = store<T>(sum / total);
  }
}

/// Adds the contributions of one query head to dqkv, which is a double copy of the tensor.
template <typename T>
void backward_head(const AttentionBackward& op, int64_t query, int64_t head, const std::vector<int64_t>& keys,
                   std::vector<double>& dqkv) {
  const Heads at(op, head);
  const T* qkv = op.qkv.as<T>();
  const T* q = qkv + query * at.row + at.q;
  const T* dout = op.dout.as<T>() + (query * op.num_heads + head) * at.d;
  const double delta = dot(dout, op.out.as<T>() + (query * op.num_heads + head) * at.d, at.d);
  const double lse = op.lse.as<float>()[query * op.num_heads + head];
  double* dq = dqkv.data() + query * at.row + at.q;
  for (const int64_t key : keys) {
    const T *k = qkv + key * at.row + at.k, *v = qkv + key * at.row + at.v;
    double *dk = dqkv.data() + key * at.row + at.k, *dv = dqkv.data() + key * at.row + at.v;
    const double p = std::exp(op.scale * dot(q, k, at.d) - lse);
    const double ds = op.scale * p * (dot(dout, v, at.d) - delta);
    for (int64_t i = 0; i < at.d; ++i) {
      dv[i] += p * load(dout[i]);
      dk[i] += ds * load(q[i]);
      dq[i] += ds * load(k[i]);
    }
  }
}

}  // namespace

void ReferenceBackend::compute(const AttentionForward& op) {
  expect_segments("attention_forward", op.segments, op.qkv.dim(0));
  visit_real(op.qkv.dtype, [&](auto zero) {
    for_each_query(op, [&](int64_t query, const std::vector<int64_t>& keys) {
      for (int64_t head = 0; head < op.num_heads; ++head) forward_head<decltype(zero)>(op, query, head, keys);
    });
  });
}

void ReferenceBackend::compute(const AttentionBackward& op) {
  expect_segments("attention_backward", op.segments, op.qkv.dim(0));
  std::vector<double> dqkv(static_cast<size_t>(op.dqkv.elements()));
  visit_real(op.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_query(op, [&](int64_t query, const std::vector<int64_t>& keys) {
      for (int64_t head = 0; head < op.num_heads; ++head) backward_head<T>(op, query, head, keys, dqkv);
    });
    for (size_t i = 0; i < dqkv.size(); ++i) op.dqkv.as<T>()[i] = store<T>(dqkv[i]);
  });
}

}  // namespace selfrefine
