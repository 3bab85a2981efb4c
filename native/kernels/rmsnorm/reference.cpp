// RMSNorm by the formula. With h = x * rstd and g = dout * weight, per row of length n:
//   dx = rstd * (g - h * mean(g * h))   dweight += dout * h
#include <cmath>
#include <vector>

#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::load;
using reference::store;

namespace {

template <typename T>
void norm_row(T* out, float& rstd, const T* x, const T* weight, int64_t n, float eps) {
  const double scale = 1 / std::sqrt(reference::dot(x, x, n) / static_cast<double>(n) + eps);
  rstd = static_cast<float>(scale);
  for (int64_t i = 0; i < n; ++i) out[i] = store<T>(load(x[i]) * scale * load(weight[i]));
}

/// dx may be the memory of dout or of dresidual (which may be null): each element is read before it is written.
template <typename T>
void norm_row_backward(T* dx, std::vector<double>& dweight, const T* dout, const T* dresidual, const T* x, double rstd,
                       const T* weight) {
  const int64_t n = static_cast<int64_t>(dweight.size());
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += load(dout[i]) * load(weight[i]) * load(x[i]) * rstd;
  mean /= static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    const double h = load(x[i]) * rstd;
    const double gradient = rstd * (load(dout[i]) * load(weight[i]) - h * mean);
    dweight[static_cast<size_t>(i)] += load(dout[i]) * h;
    dx[i] = store<T>((dresidual ? load(dresidual[i]) : 0) + gradient);
  }
}

/// Nothing where there is no such gradient.
void add_to(const Tensor& out, const std::vector<double>& sums) {
  if (!out) return;
  for (size_t i = 0; i < sums.size(); ++i) out.as<float>()[i] = static_cast<float>(out.as<float>()[i] + sums[i]);
}

}  // namespace

void ReferenceBackend::compute(const RmsNormForward& op) {
  const int64_t n = op.x.dim(0), c = op.x.dim(1);
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      norm_row(op.out.as<T>() + i * c, op.rstd.as<float>()[i], op.x.as<T>() + i * c, op.weight.as<T>(), c, op.eps);
    }
  });
}

void ReferenceBackend::compute(const RmsNormBackward& op) {
  const int64_t n = op.x.dim(0), c = op.x.dim(1);
  std::vector<double> dweight(static_cast<size_t>(c));
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      const T* dresidual = op.dresidual ? op.dresidual.as<T>() + i * c : nullptr;
      norm_row_backward(op.dx.as<T>() + i * c, dweight, op.dout.as<T>() + i * c, dresidual, op.x.as<T>() + i * c,
                        op.rstd.as<float>()[i], op.weight.as<T>());
    }
  });
  add_to(op.dweight, dweight);
}

void ReferenceBackend::compute(const HeadNormForward& op) {
  const int64_t n = op.x.dim(0), g = op.x.dim(1), d = op.x.dim(2), normed = op.num_heads + op.num_kv_heads;
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n * g; ++i) {
      const int64_t row = i / g, head = i % g;
      const T* x = op.x.as<T>() + i * d;
      T* out = op.out.as<T>() + i * d;
      if (head >= normed) {
        for (int64_t j = 0; j < d; ++j) out[j] = x[j];
        continue;
      }
      const Tensor& weight = head < op.num_heads ? op.q_weight : op.k_weight;
      norm_row(out, op.rstd.as<float>()[row * normed + head], x, weight.as<T>(), d, op.eps);
    }
  });
}

void ReferenceBackend::compute(const HeadNormBackward& op) {
  const int64_t n = op.x.dim(0), g = op.x.dim(1), d = op.x.dim(2), normed = op.num_heads + op.num_kv_heads;
  std::vector<double> dq_weight(static_cast<size_t>(d)), dk_weight(static_cast<size_t>(d));
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n * g; ++i) {
      const int64_t row = i / g, head = i % g;
      const T* dout = op.dout.as<T>() + i * d;
      T* dx = op.dx.as<T>() + i * d;
      if (head >= normed) {
        for (int64_t j = 0; j < d; ++j) dx[j] = dout[j];
        continue;
      }
      const bool is_query = head < op.num_heads;
      norm_row_backward(dx, is_query ? dq_weight : dk_weight, dout, static_cast<const T*>(nullptr),
                        op.x.as<T>() + i * d, op.rstd.as<float>()[row * normed + head],
                        (is_query ? op.q_weight : op.k_weight).as<T>());
    }
  });
  add_to(op.dq_weight, dq_weight);
  add_to(op.dk_weight, dk_weight);
}

}  // namespace selfrefine
