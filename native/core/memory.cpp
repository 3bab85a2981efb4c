// Host memory by mmap. Linux overcommits, so the limit is asked before, not learned by being killed.
#include "core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

#include "core/error.h"

namespace selfrefine {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t read_number(const char* path) {
  std::ifstream file(path);
  size_t value = 0;
  return file >> value ? value : std::numeric_limits<size_t>::max();
}

size_t available_in_meminfo() {
  std::ifstream file("/proc/meminfo");
  for (std::string key, unit; file >> key;) {
    size_t kilobytes = 0;
    if (!(file >> kilobytes)) break;
    if (key == "MemAvailable:") return kilobytes << 10;
    std::getline(file, unit);
  }
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page)
                               : std::numeric_limits<size_t>::max();
}

/// Cached pages of files, which count as used and go before memory is refused: reading a checkpoint leaves as many as
/// it is long.
size_t reclaimable_in_cgroup() {
  std::ifstream file("/sys/fs/cgroup/memory.stat");
  std::string key;
  for (size_t bytes = 0; file >> key >> bytes;) {
    if (key == "inactive_file") return bytes;
  }
  return 0;
}

size_t available_in_cgroup() {
  const size_t limit = read_number("/sys/fs/cgroup/memory.max");
  const size_t used = read_number("/sys/fs/cgroup/memory.current");
  if (limit == std::numeric_limits<size_t>::max() || used == std::numeric_limits<size_t>::max()) {
    return std::numeric_limits<size_t>::max();
  }
  const size_t held = used - std::min(used, reclaimable_in_cgroup());
  return limit > held ? limit - held : 0;
}

size_t rounded(size_t bytes) {
  const size_t unit = bytes >= kHugePage ? kHugePage : 4096;
  return (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit;
}

}  // namespace

size_t available_host_bytes() { return std::min(available_in_meminfo(), available_in_cgroup()); }

void* allocate_host(const char* arena, size_t bytes) {
  const size_t size = rounded(bytes);
  if (size < bytes || size > available_host_bytes()) {
    fail(ErrorCode::out_of_memory, arena, ": ", bytes, " bytes wanted, ", available_host_bytes(),
         " free; use a smaller micro-batch, model or cache");
  }
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    fail(ErrorCode::out_of_memory, arena, ": the system refused ", bytes, " bytes (", available_host_bytes(),
         " free); use a smaller micro-batch, model or cache");
  }
#ifdef MADV_HUGEPAGE
  if (size >= kHugePage) madvise(memory, size, MADV_HUGEPAGE);
#endif
  return memory;
}

void release_host(void* memory, size_t bytes) noexcept {
  if (memory != nullptr) munmap(memory, rounded(bytes));
}

std::shared_ptr<void> share_host(const char* arena, size_t bytes) {
  return {allocate_host(arena, bytes), [bytes](void* memory) { release_host(memory, bytes); }};
}

std::shared_ptr<void> reserve_addresses(const char* arena, size_t bytes) {
  const size_t size = rounded(bytes);
  void* memory = size < bytes ? MAP_FAILED
                              : mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    fail(ErrorCode::out_of_memory, arena, ": ", bytes, " bytes are more addresses than this process may have");
  }
  return {memory, [bytes](void* p) { release_host(p, bytes); }};
}

}  // namespace selfrefine
