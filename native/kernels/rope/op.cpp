// Checks of the rotary-embedding ops.
#include "kernels/rope/op.h"

#include "kernels/check.h"

namespace selfrefine {

namespace {

void check_rope(const char* op, const char* field, const Tensor& qkv, const Tensor& positions, const Tensor& inv_freq,
                int num_heads, int num_kv_heads) {
  expect_real(op, field, qkv, 3);
  expect(op, field, qkv, {qkv.dim(0), num_heads + 2 * int64_t{num_kv_heads}, qkv.dim(2)}, qkv.dtype);
  expect_that(op, qkv.dim(2) % 2 == 0, "head_dim must be even");
  expect(op, "positions", positions, {qkv.dim(0)}, DType::i32);
  expect(op, "inv_freq", inv_freq, {qkv.dim(2) / 2}, DType::f32);
}

}  // namespace

void RopeForward::check() const {
  check_rope("rope_forward", "qkv", qkv, positions, inv_freq, num_heads, num_kv_heads);
}

void RopeBackward::check() const {
  check_rope("rope_backward", "dqkv", dqkv, positions, inv_freq, num_heads, num_kv_heads);
}

}  // namespace selfrefine
