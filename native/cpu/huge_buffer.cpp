// Anonymous mappings aligned to huge pages.
#include "cpu/huge_buffer.h"

#include <cstring>
#include <utility>

#include <sys/mman.h>

#include "core/error.h"

namespace selfrefine {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;
constexpr int64_t kSmallPage = int64_t{1} << 16;  // a multiple of every system's page size

/// Maps `bytes`, a multiple of kSmallPage, at a multiple of kHugePage; null when the system has no more.
void* map_aligned(int64_t bytes, bool touched) {
  const size_t padded = static_cast<size_t>(bytes + kHugePage);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (touched ? 0 : MAP_NORESERVE);
  void* raw = mmap(nullptr, padded, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(raw);
  const size_t skip = static_cast<size_t>(-reinterpret_cast<uintptr_t>(raw) & (kHugePage - 1));
  if (skip > 0) munmap(begin, skip);
  const size_t rest = static_cast<size_t>(kHugePage) - skip;
  if (rest > 0) munmap(begin + skip + bytes, rest);
  return begin + skip;
}

}  // namespace

HugeBuffer::HugeBuffer(int64_t bytes, const char* what) { reserve(bytes, what); }

HugeBuffer::~HugeBuffer() { release(); }

void HugeBuffer::release() {
  if (memory_ != nullptr) munmap(memory_, static_cast<size_t>(bytes_));
  memory_ = nullptr;
  bytes_ = 0;
}

HugeBuffer::HugeBuffer(HugeBuffer&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void HugeBuffer::reserve(int64_t bytes, const char* what, bool touched) {
  if (bytes <= bytes_) return;
  const int64_t page = bytes < kHugePage ? kSmallPage : kHugePage;
  const int64_t wanted = (bytes + page - 1) / page * page;
  release();
  void* memory = map_aligned(wanted, touched);
  if (memory == nullptr) fail(ErrorCode::out_of_memory, what, ": the system gave no ", wanted, " bytes");
  if (touched) {
#if defined(MADV_HUGEPAGE)
    madvise(memory, static_cast<size_t>(wanted), MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, static_cast<size_t>(wanted));
  }
  memory_ = memory;
  bytes_ = wanted;
}

}  // namespace selfrefine
