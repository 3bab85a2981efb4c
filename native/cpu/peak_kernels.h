// Loops that do nothing but use one resource of the machine fully: the limits that kernels are measured against.
#pragma once

#include <cstdint>

namespace selfrefine {

struct PeakKernels {
  /// Runs `rounds` rounds of independent chains of fp32 fma in registers; gives the floating-point operations done.
  /// `sink` receives a value that depends on all of them.
  double (*fma)(int64_t rounds, float* sink);
  /// The same with the bf16 dot product; null where the instruction set has none.
  double (*dot_pairs)(int64_t rounds, float* sink);
  /// Reads n floats, once.
  void (*read)(const float* memory, int64_t n, float* sink);
  /// Copies n floats.
  void (*copy)(const float* from, float* to, int64_t n);
};

}  // namespace selfrefine
