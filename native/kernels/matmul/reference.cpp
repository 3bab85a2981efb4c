// Linear layers by the formula.
#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::dot;
using reference::load;
using reference::store;

namespace {

template <typename T, typename Out>
void forward(const MatmulForward& op) {
  const int64_t n = op.x.dim(0), in = op.x.dim(1), o = op.weight.dim(0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < o; ++j) {
      double sum = dot(op.x.as<T>() + i * in, op.weight.as<T>() + j * in, in);
      if (op.bias) sum += load(op.bias.as<T>()[j]);
      if (op.residual) sum += load(op.residual.as<Out>()[i * o + j]);
      op.out.as<Out>()[i * o + j] = store<Out>(sum);
    }
  }
}

}  // namespace

void ReferenceBackend::compute(const MatmulForward& op) {
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (op.out.dtype == DType::f32) forward<T, float>(op);
    else forward<T, T>(op);
  });
}

void ReferenceBackend::compute(const MatmulBackwardInput& op) {
  const int64_t n = op.dx.dim(0), in = op.dx.dim(1), o = op.weight.dim(0);
  visit_real(op.dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* dx = op.dx.as<T>();
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < in; ++j) {
        const double sum = dot(op.dout.as<T>() + i * o, op.weight.as<T>() + j, o, in);
        dx[i * in + j] = store<T>(sum + (op.accumulate ? load(dx[i * in + j]) : 0));
      }
    }
  });
}

void ReferenceBackend::compute(const MatmulBackwardWeight& op) {
  const int64_t n = op.x.dim(0), in = op.x.dim(1), o = op.dout.dim(1);
  float* dweight = op.dweight.as<float>();
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t j = 0; j < o; ++j) {
      double column_sum = 0;
      for (int64_t i = 0; i < n; ++i) column_sum += load(op.dout.as<T>()[i * o + j]);
      if (op.dbias) op.dbias.as<float>()[j] = static_cast<float>(op.dbias.as<float>()[j] + column_sum);
      for (int64_t k = 0; k < in; ++k) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += load(op.dout.as<T>()[i * o + j]) * load(op.x.as<T>()[i * in + k]);
        dweight[j * in + k] = static_cast<float>(dweight[j * in + k] + sum);
      }
    }
  });
}

}  // namespace selfrefine
