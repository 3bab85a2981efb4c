// Pages of the key/value cache: a free list with reference counts, so that the samples of a prompt share its pages.
// Knows nothing of what pages hold.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"

namespace selfrefine {

class PageAllocator {
 public:
  explicit PageAllocator(int64_t pages) : counts_(static_cast<size_t>(pages), 0) { reset(); }

  int64_t total() const { return static_cast<int64_t>(counts_.size()); }
  int64_t available() const { return static_cast<int64_t>(free_.size()); }

  /// Takes n pages, each with one owner. The caller has asked available().
  std::vector<int32_t> take(int64_t n) {
    if (n > available()) fail(ErrorCode::internal, "kv cache: ", n, " pages taken of ", available());
    std::vector<int32_t> pages(free_.end() - n, free_.end());
    free_.resize(free_.size() - static_cast<size_t>(n));
    for (const int32_t page : pages) counts_[static_cast<size_t>(page)] = 1;
    return pages;
  }

  /// One more owner for each of the pages.
  void share(const std::vector<int32_t>& pages) {
    for (const int32_t page : pages) ++counts_[static_cast<size_t>(page)];
  }

  /// One owner less; a page without owners is free.
  void release(const std::vector<int32_t>& pages) {
    for (const int32_t page : pages) {
      if (--counts_[static_cast<size_t>(page)] == 0) free_.push_back(page);
    }
  }

  void reset() {
    counts_.assign(counts_.size(), 0);
    free_.clear();
    for (int64_t page = total(); page-- > 0;) free_.push_back(static_cast<int32_t>(page));
  }

 private:
  std::vector<int32_t> counts_;
  std::vector<int32_t> free_;
};

}  // namespace selfrefine
