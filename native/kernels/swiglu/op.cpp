// Checks of the SwiGLU ops.
#include "kernels/swiglu/op.h"

#include "kernels/check.h"

namespace selfrefine {

void SwigluForward::check() const {
  const char* op = "swiglu_forward";
  expect_real(op, "out", out, 2);
  expect(op, "gate_up", gate_up, {out.dim(0), 2 * out.dim(1)}, out.dtype);
}

void SwigluBackward::check() const {
  const char* op = "swiglu_backward";
  expect_real(op, "dout", dout, 2);
  expect(op, "gate_up", gate_up, {dout.dim(0), 2 * dout.dim(1)}, dout.dtype);
  expect(op, "dgate_up", dgate_up, {dout.dim(0), 2 * dout.dim(1)}, dout.dtype);
}

}  // namespace selfrefine
