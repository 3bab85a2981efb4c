// What an instruction set provides for SwiGLU: ranges of rows.
#pragma once

#include "kernels/swiglu/op.h"

namespace selfrefine {

struct SwigluKernels {
  void (*forward)(const SwigluForward& op, int64_t begin, int64_t end);
  void (*backward)(const SwigluBackward& op, int64_t begin, int64_t end);
};

}  // namespace selfrefine
