// SwiGLU on the CPU: rows in parallel.
#include "cpu/cpu_backend.h"

namespace selfrefine {

void CpuBackend::compute(const SwigluForward& op) {
  parallel_rows(op.out.dim(0), op.out.dim(1),
                [&](int64_t begin, int64_t end, int) { isa_.swiglu.forward(op, begin, end); });
}

void CpuBackend::compute(const SwigluBackward& op) {
  parallel_rows(op.dout.dim(0), op.dout.dim(1),
                [&](int64_t begin, int64_t end, int) { isa_.swiglu.backward(op, begin, end); });
}

}  // namespace selfrefine
