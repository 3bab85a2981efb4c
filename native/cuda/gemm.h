// What a matrix product is to the CUDA backend, whoever computes it: cuBLASLt where it is found, our own kernels else.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace selfrefine {

/// c (m, n) = op(a) op(b) [+ a2 op(b2)] [+ bias] [+ residual] [+ c if accumulate], all row-major, sums in float32.
struct CudaGemm {
  void* c = nullptr;
  const void* a = nullptr;         // (m, k), or (k, m) if transpose_a
  const void* b = nullptr;         // (k, n), or (n, k) if transpose_b: a linear layer's weight
  const void* bias = nullptr;      // (n) of the type of a, or absent
  const void* residual = nullptr;  // (m, n) of the type of c, dense, or absent; may be the memory of c
  const void* a2 = nullptr;        // (m, k2): a second pair of operands, added to the same sum; not with transpose_a
  const void* b2 = nullptr;        // (k2, n), or (n, k2) if transpose_b
  int64_t m = 0, n = 0, k = 0, k2 = 0;
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;
  DType input_type = DType::f32;   // of a, b and bias
  DType output_type = DType::f32;  // of c and residual
};

}  // namespace selfrefine
