// SwiGLU by the formula. With s = sigmoid(gate): d silu / d gate = s (1 + gate (1 - s)).
#include <cmath>

#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::load;
using reference::store;

void ReferenceBackend::compute(const SwigluForward& op) {
  const int64_t n = op.out.dim(0), f = op.out.dim(1);
  visit_real(op.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      const T* row = op.gate_up.as<T>() + i * 2 * f;
      for (int64_t j = 0; j < f; ++j) {
        const double gate = load(row[j]), up = load(row[f + j]);
        op.out.as<T>()[i * f + j] = store<T>(gate / (1 + std::exp(-gate)) * up);
      }
    }
  });
}

void ReferenceBackend::compute(const SwigluBackward& op) {
  const int64_t n = op.dout.dim(0), f = op.dout.dim(1);
  visit_real(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      const T* row = op.gate_up.as<T>() + i * 2 * f;
      T* drow = op.dgate_up.as<T>() + i * 2 * f;  // may be `row`: both values are read before either is written
      for (int64_t j = 0; j < f; ++j) {
        const double gate = load(row[j]), up = load(row[f + j]), dout = load(op.dout.as<T>()[i * f + j]);
        const double sigmoid = 1 / (1 + std::exp(-gate));
        drow[j] = store<T>(dout * up * sigmoid * (1 + gate * (1 - sigmoid)));
        drow[f + j] = store<T>(dout * gate * sigmoid);
      }
    }
  });
}

}  // namespace selfrefine
