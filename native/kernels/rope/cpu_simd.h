// Rotation of the heads of one row by given angles.
#pragma once

#include "cpu/view.h"
#include "kernels/rope/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace rope {

/// Pairs (i, i + half).
template <typename T>
SELFREFINE_INLINE void rotate_halves(T* x, int64_t half, RopeAngles angles, float sign) {
  for_lanes(half, [&](int64_t i, int lanes) {
    const Vec cosine = load_n(angles.cosines + i, lanes), sine = load_n(angles.sines + i, lanes) * broadcast(sign);
    const Vec a = load_n(x + i, lanes), b = load_n(x + half + i, lanes);
    store_n(x + i, fnma(b, sine, a * cosine), lanes);
    store_n(x + half + i, fma(a, sine, b * cosine), lanes);
  });
}

/// Pairs (2i, 2i + 1): rare, so a pair at a time, through floats.
template <typename T>
SELFREFINE_INLINE void rotate_pairs(T* x, int64_t half, RopeAngles angles, float sign) {
  for (int64_t i = 0; i < half; ++i) {
    float pair[kWidth];
    store(pair, load_n(x + 2 * i, 2));
    const float cosine = angles.cosines[i], sine = angles.sines[i] * sign;
    const float a = pair[0] * cosine - pair[1] * sine, b = pair[1] * cosine + pair[0] * sine;
    pair[0] = a;
    pair[1] = b;
    store_n(x + 2 * i, load_n(pair, 2), 2);
  }
}

void rotate(const Tensor& qkv, int64_t n, int64_t heads, RopeAngles angles, bool interleaved, float sign) {
  by_type(qkv, [&](auto type) {
    using T = decltype(type);
    const int64_t d = dim(qkv, 2);
    T* row = data<T>(qkv) + n * dim(qkv, 1) * d;
    for (int64_t h = 0; h < heads; ++h) {
      if (interleaved) rotate_pairs(row + h * d, d / 2, angles, sign);
      else rotate_halves(row + h * d, d / 2, angles, sign);
    }
  });
}

constexpr RopeKernels table{rotate};

}  // namespace rope
SELFREFINE_ISA_END
