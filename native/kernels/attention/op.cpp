// Checks of the attention ops.
#include "kernels/attention/op.h"

#include "kernels/check.h"

namespace selfrefine {

namespace {

template <typename Op>
void check_common(const char* op, const Op& a) {
  expect_real(op, "qkv", a.qkv, 3);
  const int64_t n = a.qkv.dim(0), d = a.qkv.dim(2);
  expect_that(op, a.num_kv_heads > 0 && a.num_heads > 0 && a.num_heads % a.num_kv_heads == 0,
              "num_heads must be a positive multiple of num_kv_heads");
  expect(op, "qkv", a.qkv, {n, a.num_heads + 2 * int64_t{a.num_kv_heads}, d}, a.qkv.dtype);
  expect(op, "out", a.out, {n, a.num_heads, d}, a.qkv.dtype);
  expect(op, "lse", a.lse, {n, a.num_heads}, DType::f32);
  expect(op, "segments", a.segments, {a.segments.dim(0), 4}, DType::i32);
  expect(op, "positions", a.positions, {n}, DType::i32);
  expect_that(op, a.window >= 0, "window must not be negative");
}

}  // namespace

void AttentionForward::check() const { check_common("attention_forward", *this); }

void AttentionBackward::check() const {
  const char* op = "attention_backward";
  check_common(op, *this);
  expect(op, "dqkv", dqkv, {qkv.dim(0), qkv.dim(1), qkv.dim(2)}, qkv.dtype);
  expect(op, "dout", dout, {out.dim(0), out.dim(1), out.dim(2)}, qkv.dtype);
}

}  // namespace selfrefine
