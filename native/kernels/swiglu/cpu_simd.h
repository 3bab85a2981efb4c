// SwiGLU rows: silu(g) = g s with s = sigmoid(g), and silu'(g) = s + g s (1 - s).
#pragma once

#include "cpu/view.h"
#include "kernels/swiglu/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace swiglu {

void forward(const SwigluForward& op, int64_t begin, int64_t end) {
  by_type(op.out, [&](auto type) {
    using T = decltype(type);
    const int64_t f = dim(op.out, 1);
    for (int64_t n = begin; n < end; ++n) {
      const T* gate = data<T>(op.gate_up) + n * 2 * f;
      const T* up = gate + f;
      T* out = data<T>(op.out) + n * f;
      for_lanes(f, [&](int64_t i, int lanes) {
        const Vec g = load_n(gate + i, lanes);
        store_n(out + i, g * sigmoid(g) * load_n(up + i, lanes), lanes);
      });
    }
  });
}

void backward(const SwigluBackward& op, int64_t begin, int64_t end) {
  by_type(op.dout, [&](auto type) {
    using T = decltype(type);
    const int64_t f = dim(op.dout, 1);
    for (int64_t n = begin; n < end; ++n) {
      const T* gate = data<T>(op.gate_up) + n * 2 * f;
      const T* dout = data<T>(op.dout) + n * f;
      T* dgate = data<T>(op.dgate_up) + n * 2 * f;
      for_lanes(f, [&](int64_t i, int lanes) {
        const Vec g = load_n(gate + i, lanes), up = load_n(gate + f + i, lanes), d = load_n(dout + i, lanes);
        const Vec s = sigmoid(g), silu = g * s;
        store_n(dgate + i, d * up * fma(silu, broadcast(1.0f) - s, s), lanes);
        store_n(dgate + f + i, d * silu, lanes);
      });
    }
  });
}

constexpr SwigluKernels table{forward, backward};

}  // namespace swiglu
SELFREFINE_ISA_END
