// The paged cache on the CPU; cpu_kernels.h says where an element of a page lies.
#include <algorithm>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

template <typename Element>
void write_row(const KvCacheWrite& op, int64_t n, int64_t slot) {
  const int64_t heads = op.k_cache.dim(1), page_size = op.k_cache.dim(2), d = op.k_cache.dim(3);
  const int64_t page = slot / page_size, offset = slot % page_size;
  const Element* keys = op.qkv.as<Element>() + (n * op.qkv.dim(1) + op.num_heads) * d;
  const Element* values = keys + heads * d;
  const size_t row_bytes = static_cast<size_t>(d) * sizeof(Element);
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t head_page = (page * heads + h) * page_size * d;
    Element* to = op.k_cache.as<Element>() + head_page + offset;
    for (int64_t i = 0; i < d; ++i) to[i * page_size] = keys[h * d + i];
    std::memcpy(op.v_cache.as<Element>() + head_page + offset * d, values + h * d, row_bytes);
  }
}

}  // namespace

void CpuBackend::compute(const KvCacheWrite& op) {
  expect_in_range("kv_cache_write", "slots", op.slots, -1, op.k_cache.dim(0) * op.k_cache.dim(2));
  const int32_t* slots = op.slots.as<int32_t>();
  parallel_rows(op.qkv.dim(0), 2 * op.k_cache.dim(1) * op.k_cache.dim(3), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      if (slots[n] < 0) continue;
      if (op.qkv.dtype == DType::bf16) write_row<bf16>(op, n, slots[n]);
      else write_row<float>(op, n, slots[n]);
    }
  });
}

void CpuBackend::compute(const KvCacheCopyPage& op) {
  if (op.from == op.to) return;
  const int64_t bytes = op.k_cache.dim(1) * op.k_cache.dim(2) * op.k_cache.dim(3) * size_of(op.k_cache.dtype);
  for (const Tensor* cache : {&op.k_cache, &op.v_cache}) {
    char* pages = cache->as<char>();
    std::memcpy(pages + op.to * bytes, pages + op.from * bytes, static_cast<size_t>(bytes));
  }
}

void CpuBackend::compute(const AttentionDecode& op) {
  expect_pages("attention_decode", op.page_table, op.lengths, op.k_cache.dim(0), op.k_cache.dim(2));
  // Neighbouring heads lie together in a page, so a task takes as many as leave enough tasks for all threads.
  const int64_t heads = op.k_cache.dim(1), rows = op.qkv.dim(0), wanted = int64_t{8} * pool_.threads();
  const int64_t cuts = std::clamp((wanted + rows - 1) / std::max<int64_t>(rows, 1), int64_t{1}, heads);
  const ThreadScratch scratch = thread_scratch(isa_.kv_cache.decode_scratch(op, (heads + cuts - 1) / cuts));
  pool_.parallel_for(rows * cuts, [&](int64_t task, int thread) {
    const int64_t row = task / cuts, begin = task % cuts * heads / cuts, end = (task % cuts + 1) * heads / cuts;
    if (op.lengths.as<int32_t>()[row] > 0) return isa_.kv_cache.decode(op, row, begin, end, scratch.of(thread));
    const int64_t bytes = op.num_heads / heads * op.out.dim(2) * size_of(op.out.dtype);
    std::memset(op.out.as<char>() + (row * heads + begin) * bytes, 0, static_cast<size_t>((end - begin) * bytes));
  });
}

}  // namespace selfrefine
