// Attention of single query rows over the paged cache: block after block of pages, with the softmax corrected on the
// way (online softmax, Dao 2023). Up to four query heads share each load of a key or value; where there are fewer, the
// four accumulators split the sum instead, because one alone would wait for its own additions.
#pragma once

#include "cpu/view.h"
#include "kernels/kv_cache/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace kv_cache {

constexpr int kChains = 4;

/// What the key/value heads of one task share, and their work area.
struct Decode {
  int64_t group;      // query heads of a key/value head
  int64_t d;          // head_dim
  int64_t padded;     // d in whole vectors
  int64_t page_size;
  int64_t block;      // keys of a block
  int64_t stride;     // of the scores of a head: a block and the overhang of the last vector
  float* queries;     // (heads, d), scaled
  float* scores;      // (heads, stride)
  float* sums;        // (heads, padded): unnormalised output
  float* highest;     // (heads)
  float* totals;      // (heads)
};

SELFREFINE_INLINE int64_t whole_vectors(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

Decode describe(const AttentionDecode& op, int64_t kv_heads, float* scratch) {
  Decode a{};
  a.group = op.num_heads / dim(op.k_cache, 1);
  a.d = dim(op.k_cache, 3);
  a.padded = whole_vectors(a.d);
  a.page_size = dim(op.k_cache, 2);
  a.block = decode_block_keys(a.page_size);
  a.stride = a.block + kWidth;
  const int64_t heads = kv_heads * a.group;
  a.queries = scratch;
  a.scores = a.queries + heads * a.padded;
  a.sums = a.scores + heads * a.stride;
  a.highest = a.sums + heads * a.padded;
  a.totals = a.highest + heads;
  return a;
}

int64_t decode_scratch(const AttentionDecode& op, int64_t kv_heads) {
  const Decode a = describe(op, kv_heads, nullptr);
  return kv_heads * a.group * (2 * a.padded + a.stride + 2);
}

/// Scores of the keys of one page, Heads query heads at once.
template <int Heads, typename T>
void score_page(const Decode& a, int64_t head, const T* keys, int64_t at) {
  constexpr int kSplits = kChains / Heads;
  const float* q = a.queries + head * a.d;
  for (int64_t j = 0; j < a.page_size; j += kWidth) {
    const int lanes = static_cast<int>(min_of<int64_t>(kWidth, a.page_size - j));
    Vec sums[Heads][kSplits];
    for (auto& chains : sums) for (Vec& chain : chains) chain = zero();
    int64_t i = 0;
    for (; i + kSplits <= a.d; i += kSplits) {
      for (int s = 0; s < kSplits; ++s) {
        const T* line = keys + (i + s) * a.page_size + j;
        const Vec key = lanes == kWidth ? load(line) : load_n(line, lanes);
        for (int h = 0; h < Heads; ++h) sums[h][s] = fma(broadcast(q[h * a.d + i + s]), key, sums[h][s]);
      }
    }
    for (; i < a.d; ++i) {
      const Vec key = load_n(keys + i * a.page_size + j, lanes);
      for (int h = 0; h < Heads; ++h) sums[h][0] = fma(broadcast(q[h * a.d + i]), key, sums[h][0]);
    }
    for (int h = 0; h < Heads; ++h) {
      for (int s = kSplits / 2; s > 0; s /= 2) for (int k = 0; k < s; ++k) sums[h][k] += sums[h][k + s];
      store_n(a.scores + (head + h) * a.stride + at + j, sums[h][0], lanes);
    }
  }
}

/// sums += probabilities of `keys` keys of one page times their values.
template <int Heads, typename T>
void add_values(const Decode& a, int64_t head, const T* values, int64_t at, int64_t keys) {
  constexpr int kSplits = kChains / Heads;
  const float* p = a.scores + head * a.stride + at;
  for (int64_t i = 0; i < a.d; i += kWidth) {
    const int lanes = static_cast<int>(min_of<int64_t>(kWidth, a.d - i));
    Vec sums[Heads][kSplits];
    for (auto& chains : sums) for (Vec& chain : chains) chain = zero();
    int64_t j = 0;
    for (; j + kSplits <= keys; j += kSplits) {
      for (int s = 0; s < kSplits; ++s) {
        const T* line = values + (j + s) * a.d + i;
        const Vec value = lanes == kWidth ? load(line) : load_n(line, lanes);
        for (int h = 0; h < Heads; ++h) sums[h][s] = fma(broadcast(p[h * a.stride + j + s]), value, sums[h][s]);
      }
    }
    for (; j < keys; ++j) {
      const Vec value = load_n(values + j * a.d + i, lanes);
      for (int h = 0; h < Heads; ++h) sums[h][0] = fma(broadcast(p[h * a.stride + j]), value, sums[h][0]);
    }
    for (int h = 0; h < Heads; ++h) {
      for (int s = kSplits / 2; s > 0; s /= 2) for (int k = 0; k < s; ++k) sums[h][k] += sums[h][k + s];
      float* to = a.sums + (head + h) * a.padded + i;
      store(to, load(to) + sums[h][0]);
    }
  }
}

/// Turns scores [begin, end) of a block into probabilities relative to the running maximum; the rest become 0.
SELFREFINE_INLINE void weigh_block(const Decode& a, int64_t head, int64_t begin, int64_t end) {
  const Vec none = broadcast(-__builtin_inff());
  float* scores = a.scores + head * a.stride;
  for (int64_t j = 0; j < begin; ++j) scores[j] = -__builtin_inff();
  Vec top = none;
  for_lanes(end, [&](int64_t j, int lanes) {
    top = max(select(first_n(lanes), load_n(scores + j, lanes), none), top);
  });
  const float before = a.highest[head], block_top = reduce_max(top), now = before > block_top ? before : block_top;
  Vec total = zero();
  for_lanes(end, [&](int64_t j, int lanes) {
    const Vec p = exp(load_n(scores + j, lanes) - broadcast(now));
    store_n(scores + j, p, lanes);
    total += select(first_n(lanes), p, zero());
  });
  float correction[kWidth];
  store(correction, exp(broadcast(before - now)));
  a.highest[head] = now;
  a.totals[head] = a.totals[head] * correction[0] + reduce_add(total);
  float* sums = a.sums + head * a.padded;
  for (int64_t i = 0; i < a.padded; i += kWidth) store(sums + i, load(sums + i) * broadcast(correction[0]));
}

template <int Count>
struct HeadCount {
  static constexpr int value = Count;
};

/// Calls each(HeadCount, first head): fours, then twos, then ones.
template <typename Each>
SELFREFINE_INLINE void in_groups(int64_t heads, Each each) {
  int64_t h = 0;
  for (; h + 4 <= heads; h += 4) each(HeadCount<4>{}, h);
  for (; h + 2 <= heads; h += 2) each(HeadCount<2>{}, h);
  for (; h < heads; ++h) each(HeadCount<1>{}, h);
}

/// Asks for the memory of one head of a page before it is needed: the hardware does not guess the next page.
SELFREFINE_INLINE void prefetch(const void* memory, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(static_cast<const char*>(memory) + i);
}

/// The pages of one sequence, restricted to the heads of a task.
template <typename T>
struct Pages {
  const T* cache;
  const int32_t* table;
  int64_t page_floats, head_floats, first_head;
  const T* of(int64_t page, int64_t head) const {
    return cache + table[page] * page_floats + (first_head + head) * head_floats;
  }
};

/// Calls each(page, key/value head, first query head, its HeadCount) for pages [begin, end), a page after the other, so
/// that memory is read in the order in which it lies.
template <typename T, typename Each>
SELFREFINE_INLINE void over_pages(const Decode& a, const Pages<T>& pages, int64_t begin, int64_t end, int64_t kv_heads,
                                  Each each) {
  for (int64_t page = begin; page < end; ++page) {
    for (int64_t kv = 0; kv < kv_heads; ++kv) {
      if (page + 1 < end) prefetch(pages.of(page + 1, kv), pages.head_floats * static_cast<int64_t>(sizeof(T)));
      in_groups(a.group, [&](auto count, int64_t h) { each(page, kv, kv * a.group + h, count); });
    }
  }
}

template <typename T>
void begin_heads(const AttentionDecode& op, const Decode& a, int64_t b, int64_t first_head, int64_t heads) {
  const T* query = data<T>(op.qkv) + (b * dim(op.qkv, 1) + first_head) * a.d;
  for_lanes(heads * a.d, [&](int64_t i, int lanes) {
    store_n(a.queries + i, load_n(query + i, lanes) * broadcast(op.scale), lanes);
  });
  memset(a.sums, 0, static_cast<size_t>(heads * a.padded) * sizeof(float));
  for (int64_t h = 0; h < heads; ++h) {
    a.highest[h] = -__builtin_inff();
    a.totals[h] = 0;
  }
}

template <typename T>
void write_heads(const AttentionDecode& op, const Decode& a, int64_t b, int64_t first_head, int64_t heads) {
  T* out = data<T>(op.out) + (b * op.num_heads + first_head) * a.d;
  for (int64_t h = 0; h < heads; ++h) {
    const Vec share = broadcast(1.0f / a.totals[h]);
    for_lanes(a.d, [&](int64_t i, int lanes) {
      store_n(out + h * a.d + i, load_n(a.sums + h * a.padded + i, lanes) * share, lanes);
    });
  }
}

template <typename T>
void decode_heads(const AttentionDecode& op, int64_t b, int64_t kv_begin, int64_t kv_end, float* scratch) {
  const int64_t kv_heads = kv_end - kv_begin;
  const Decode a = describe(op, kv_heads, scratch);
  const int64_t heads = kv_heads * a.group, first_head = kv_begin * a.group;
  begin_heads<T>(op, a, b, first_head, heads);
  const int32_t* table = data<int32_t>(op.page_table) + b * dim(op.page_table, 1);
  const int64_t head_floats = a.page_size * a.d, page_floats = dim(op.k_cache, 1) * head_floats;
  const Pages<T> keys{data<T>(op.k_cache), table, page_floats, head_floats, kv_begin};
  const Pages<T> values{data<T>(op.v_cache), table, page_floats, head_floats, kv_begin};
  const int64_t length = data<int32_t>(op.lengths)[b];
  const int64_t unseen = op.window > 0 && op.window < length ? length - op.window : 0;
  for (int64_t begin = unseen / a.block * a.block; begin < length; begin += a.block) {
    const int64_t end = min_of(begin + a.block, length), from = max_of<int64_t>(unseen - begin, 0);
    const int64_t first_page = (begin + from) / a.page_size, end_page = (end + a.page_size - 1) / a.page_size;
    over_pages(a, keys, first_page, end_page, kv_heads, [&](int64_t page, int64_t kv, int64_t h, auto count) {
      score_page<decltype(count)::value>(a, h, keys.of(page, kv), page * a.page_size - begin);
    });
    for (int64_t h = 0; h < heads; ++h) weigh_block(a, h, from, end - begin);
    over_pages(a, values, first_page, end_page, kv_heads, [&](int64_t page, int64_t kv, int64_t h, auto count) {
      add_values<decltype(count)::value>(a, h, values.of(page, kv), page * a.page_size - begin,
                                         min_of(a.page_size, end - page * a.page_size));
    });
  }
  write_heads<T>(op, a, b, first_head, heads);
}

void decode(const AttentionDecode& op, int64_t b, int64_t kv_begin, int64_t kv_end, float* scratch) {
  by_type(op.qkv, [&](auto type) { decode_heads<decltype(type)>(op, b, kv_begin, kv_end, scratch); });
}

constexpr KvCacheKernels table{decode, decode_scratch};

}  // namespace kv_cache
SELFREFINE_ISA_END
