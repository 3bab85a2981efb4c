// The paged cache by the formula. In a page the K heads follow one another, each with page_size rows of D.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/indices.h"
#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::load;
using reference::store;

namespace {

/// Where (head, key) of the sequence with this page table begins, in elements.
int64_t offset_of(const Tensor& cache, const int32_t* table, int64_t head, int64_t key) {
  const int64_t page_size = cache.dim(2);
  return ((table[key / page_size] * cache.dim(1) + head) * page_size + key % page_size) * cache.dim(3);
}

template <typename T>
void decode_head(const AttentionDecode& op, int64_t b, int64_t h) {
  const int64_t d = op.out.dim(2), kv_head = h / (op.num_heads / op.k_cache.dim(1));
  const int64_t length = op.lengths.as<int32_t>()[b];
  const int64_t first = op.window > 0 ? std::max<int64_t>(0, length - op.window) : 0;
  const int32_t* table = op.page_table.as<int32_t>() + b * op.page_table.dim(1);
  const T* q = op.qkv.as<T>() + (b * op.qkv.dim(1) + h) * d;
  std::vector<double> scores;
  double highest = -INFINITY;
  for (int64_t key = first; key < length; ++key) {
    scores.push_back(op.scale * reference::dot(q, op.k_cache.as<T>() + offset_of(op.k_cache, table, kv_head, key), d));
    highest = std::max(highest, scores.back());
  }
  double total = 0;
  std::vector<double> sum(static_cast<size_t>(d));
  for (int64_t key = first; key < length; ++key) {
    const double p = std::exp(scores[static_cast<size_t>(key - first)] - highest);
    const T* v = op.v_cache.as<T>() + offset_of(op.v_cache, table, kv_head, key);
    for (int64_t i = 0; i < d; ++i) sum[static_cast<size_t>(i)] += p * load(v[i]);
    total += p;
  }
  T* out = op.out.as<T>() + (b * op.num_heads + h) * d;
  for (int64_t i = 0; i < d; ++i) out[i] = store<T>(length == 0 ? 0 : sum[static_cast<size_t>(i)] / total);
}

}  // namespace

void ReferenceBackend::compute(const KvCacheWrite& op) {
  const int64_t k = op.k_cache.dim(1), page_size = op.k_cache.dim(2), d = op.k_cache.dim(3), g = op.qkv.dim(1);
  expect_in_range("kv_cache_write", "slots", op.slots, -1, op.k_cache.dim(0) * page_size);
  visit_real(op.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < op.qkv.dim(0); ++row) {
      const int32_t slot = op.slots.as<int32_t>()[row];
      if (slot < 0) continue;
      const int32_t page = static_cast<int32_t>(slot / page_size);
      for (int64_t head = 0; head < k; ++head) {
        const T* key = op.qkv.as<T>() + (row * g + op.num_heads + head) * d;
        const int64_t to = offset_of(op.k_cache, &page, head, slot % page_size);
        for (int64_t i = 0; i < d; ++i) {
          op.k_cache.as<T>()[to + i] = key[i];
          op.v_cache.as<T>()[to + i] = key[k * d + i];
        }
      }
    }
  });
}

void ReferenceBackend::compute(const KvCacheCopyPage& op) {
  const Tensor from_k = op.k_cache.rows(op.from, op.from + 1), to_k = op.k_cache.rows(op.to, op.to + 1);
  const Tensor from_v = op.v_cache.rows(op.from, op.from + 1), to_v = op.v_cache.rows(op.to, op.to + 1);
  std::memmove(to_k.data, from_k.data, static_cast<size_t>(from_k.bytes()));
  std::memmove(to_v.data, from_v.data, static_cast<size_t>(from_v.bytes()));
}

void ReferenceBackend::compute(const AttentionDecode& op) {
  expect_pages("attention_decode", op.page_table, op.lengths, op.k_cache.dim(0), op.k_cache.dim(2));
  visit_real(op.qkv.dtype, [&](auto zero) {
    for (int64_t b = 0; b < op.out.dim(0); ++b) {
      for (int64_t h = 0; h < op.num_heads; ++h) decode_head<decltype(zero)>(op, b, h);
    }
  });
}

}  // namespace selfrefine
