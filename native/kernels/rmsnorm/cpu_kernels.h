// What an instruction set provides for the norms: ranges of rows. The parallel loops are in cpu.cpp.
#pragma once

#include "kernels/rmsnorm/op.h"

namespace selfrefine {

struct RmsNormKernels {
  void (*forward)(const RmsNormForward& op, int64_t begin, int64_t end);
  /// Writes the rows of dx and, to dweight, these rows' share of the weight gradient: (C) f32.
  void (*backward)(const RmsNormBackward& op, int64_t begin, int64_t end, float* dweight);
  void (*head_forward)(const HeadNormForward& op, int64_t begin, int64_t end);
  /// As backward; dweights is (2, D) f32: of the query, then of the key weight.
  void (*head_backward)(const HeadNormBackward& op, int64_t begin, int64_t end, float* dweights);
};

}  // namespace selfrefine
