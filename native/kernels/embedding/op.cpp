// Checks of the embedding ops.
#include "kernels/embedding/op.h"

#include "kernels/check.h"

namespace selfrefine {

void EmbeddingForward::check() const {
  const char* op = "embedding_forward";
  expect_real(op, "weight", weight, 2);
  expect_real(op, "out", out, 2);
  expect(op, "out", out, {out.dim(0), weight.dim(1)}, weight.dtype);
  expect(op, "tokens", tokens, {out.dim(0)}, DType::i32);
}

void EmbeddingBackward::check() const {
  const char* op = "embedding_backward";
  expect_real(op, "dout", dout, 2);
  expect_real(op, "dweight", dweight, 2);
  expect(op, "dweight", dweight, {dweight.dim(0), dout.dim(1)}, DType::f32);
  expect(op, "tokens", tokens, {dout.dim(0)}, DType::i32);
}

}  // namespace selfrefine
