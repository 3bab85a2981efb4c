// Checks of the conversion between storage types.
#include "kernels/cast/op.h"

#include "kernels/check.h"

namespace selfrefine {

void CastStorage::check() const {
  const char* op = "cast_storage";
  expect_real(op, "out", out, 1);
  expect(op, "out", out, {out.dim(0)}, out.dtype);
  expect(op, "x", x, {out.dim(0)}, DType::f32);
}

}  // namespace selfrefine
