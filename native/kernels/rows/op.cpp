// Checks of the row-selection ops.
#include "kernels/rows/op.h"

#include "kernels/check.h"

namespace selfrefine {

void GatherRows::check() const {
  const char* op = "gather_rows";
  expect_real(op, "x", x, 2);
  expect_real(op, "out", out, 2);
  expect(op, "out", out, {out.dim(0), x.dim(1)}, x.dtype);
  expect(op, "rows", rows, {out.dim(0)}, DType::i32);
}

void ScatterRows::check() const {
  const char* op = "scatter_rows";
  expect_real(op, "x", x, 2);
  expect_real(op, "out", out, 2);
  expect(op, "out", out, {out.dim(0), x.dim(1)}, x.dtype);
  expect(op, "rows", rows, {x.dim(0)}, DType::i32);
}

}  // namespace selfrefine
