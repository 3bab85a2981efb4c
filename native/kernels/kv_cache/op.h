// The paged key/value cache of generation. A page holds `page_size` positions of all K heads of one layer; a
// sequence's page table lists its pages in order, so several samples can share the pages of their prompt.
// Where an element lies inside a page is the backend's own business: only these ops touch a cache.
// Source: Kwon et al. 2023, "Efficient Memory Management for LLM Serving with PagedAttention".
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// Stores the keys and values of N rows; slots[n] = page * page_size + offset in the page, -1 = do not store.
/// Slots are distinct: two rows in one slot would race, and no backend looks for that.
struct KvCacheWrite {
  Tensor k_cache;  // (pages, K, page_size, D) T
  Tensor v_cache;  // (pages, K, page_size, D) T
  Tensor qkv;      // (N, G, D) T, after the rotary embedding
  Tensor slots;    // (N) i32
  int num_heads = 0;  // H
  void check() const;
};

/// Copies a page whole: a sample gets its own copy of the last, partly filled page of its prompt.
struct KvCacheCopyPage {
  Tensor k_cache;  // (pages, K, page_size, D) T
  Tensor v_cache;  // (pages, K, page_size, D) T
  int64_t from = 0;
  int64_t to = 0;
  void check() const;
};

/// One query row per sequence over its cached keys, the row's own key included (it was written before).
/// The row's position is lengths[b] - 1; keys at distance >= window are not seen. A row's result does not depend on
/// the other rows. A row of length 0 stands for none: its result is 0.
struct AttentionDecode {
  Tensor out;         // (B, H, D) T
  Tensor qkv;         // (B, G, D) T: only the query heads are read
  Tensor k_cache;     // (pages, K, page_size, D) T
  Tensor v_cache;     // (pages, K, page_size, D) T
  Tensor page_table;  // (B, max_pages) i32
  Tensor lengths;     // (B) i32: keys of this sequence
  int num_heads = 0;  // H
  float scale = 0;
  int window = 0;     // 0 = unlimited
  int64_t max_length = 0;  // no row has more keys, for a backend that must size its work before it can see lengths;
                           // 0 = as many as the page table has room for
  void check() const;
};

}  // namespace selfrefine
