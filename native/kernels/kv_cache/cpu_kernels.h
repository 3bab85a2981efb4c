// What an instruction set provides for decoding attention, and how the CPU lays out a page of the cache.
#pragma once

#include "kernels/kv_cache/op.h"

namespace selfrefine {

// Inside a page, of one head: keys are (D, page_size), so that the scores of successive keys are one vector and need no
// sum across lanes; values are (page_size, D), so that the output is one.

/// Keys that AttentionDecode weighs at a time: whole pages, at least kDecodeKeys of them if the pages are small.
constexpr int64_t kDecodeKeys = 256;

constexpr int64_t decode_block_keys(int64_t page_size) {
  return page_size >= kDecodeKeys ? page_size : (kDecodeKeys / page_size) * page_size;
}

struct KvCacheKernels {
  /// Query heads of the key/value heads [kv_begin, kv_end) of sequence b. scratch: decode_scratch() floats.
  void (*decode)(const AttentionDecode& op, int64_t b, int64_t kv_begin, int64_t kv_end, float* scratch);
  int64_t (*decode_scratch)(const AttentionDecode& op, int64_t kv_heads);
};

}  // namespace selfrefine
