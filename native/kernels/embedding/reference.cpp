// Embedding by the formula.
#include "kernels/indices.h"
#include "kernels/reference.h"

namespace selfrefine {

void ReferenceBackend::compute(const EmbeddingForward& op) {
  expect_in_range("embedding_forward", "tokens", op.tokens, 0, op.weight.dim(0));
  const int64_t n = op.out.dim(0), c = op.out.dim(1);
  const int32_t* tokens = op.tokens.as<int32_t>();
  visit_real(op.weight.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < c; ++j) op.out.as<T>()[i * c + j] = op.weight.as<T>()[tokens[i] * c + j];
    }
  });
}

void ReferenceBackend::compute(const EmbeddingBackward& op) {
  expect_in_range("embedding_backward", "tokens", op.tokens, 0, op.dweight.dim(0));
  const int64_t n = op.dout.dim(0), c = op.dout.dim(1);
  const int32_t* tokens = op.tokens.as<int32_t>();
  float* dweight = op.dweight.as<float>();
  visit_real(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < c; ++j) dweight[tokens[i] * c + j] += to_float(op.dout.as<T>()[i * c + j]);
    }
  });
}

}  // namespace selfrefine
