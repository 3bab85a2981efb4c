// How the reference kernels read and write a stored number: widened to double, rounded back once at the end.
#pragma once

#include "core/dtype.h"

namespace selfrefine::reference {

template <typename T>
double load(T x) {
  return to_float(x);
}

template <typename T>
T store(double x) {
  return from_float<T>(static_cast<float>(x));
}

/// Sum of a[i] * b[i * stride].
template <typename A, typename B>
double dot(const A* a, const B* b, int64_t n, int64_t stride = 1) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += load(a[i]) * load(b[i * stride]);
  return sum;
}

}  // namespace selfrefine::reference
