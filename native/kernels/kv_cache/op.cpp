// Checks of the cache ops.
#include "kernels/kv_cache/op.h"

#include "kernels/check.h"

namespace selfrefine {

namespace {

void check_cache(const char* op, const Tensor& k, const Tensor& v) {
  expect_real(op, "k_cache", k, 4);
  expect(op, "v_cache", v, {k.dim(0), k.dim(1), k.dim(2), k.dim(3)}, k.dtype);
  expect_that(op, k.dim(1) > 0 && k.dim(2) > 0, "k_cache must have at least one head and one position a page");
}

void check_qkv(const char* op, const Tensor& qkv, const Tensor& k, int num_heads) {
  expect_real(op, "qkv", qkv, 3);
  expect_that(op, num_heads > 0, "num_heads must be positive");
  expect(op, "qkv", qkv, {qkv.dim(0), num_heads + 2 * k.dim(1), k.dim(3)}, k.dtype);
}

}  // namespace

void KvCacheWrite::check() const {
  const char* op = "kv_cache_write";
  check_cache(op, k_cache, v_cache);
  check_qkv(op, qkv, k_cache, num_heads);
  expect(op, "slots", slots, {qkv.dim(0)}, DType::i32);
}

void KvCacheCopyPage::check() const {
  const char* op = "kv_cache_copy_page";
  check_cache(op, k_cache, v_cache);
  const int64_t pages = k_cache.dim(0);
  expect_that(op, from >= 0 && from < pages && to >= 0 && to < pages, "page outside of the cache");
}

void AttentionDecode::check() const {
  const char* op = "attention_decode";
  check_cache(op, k_cache, v_cache);
  check_qkv(op, qkv, k_cache, num_heads);
  const int64_t b = qkv.dim(0);
  expect_that(op, num_heads % k_cache.dim(1) == 0, "num_heads must be a multiple of num_kv_heads");
  expect(op, "out", out, {b, num_heads, k_cache.dim(3)}, k_cache.dtype);
  expect(op, "page_table", page_table, {b, page_table.dim(1)}, DType::i32);
  expect(op, "lengths", lengths, {b}, DType::i32);
  expect_that(op, max_length >= 0, "max_length must not be negative");
}

}  // namespace selfrefine
