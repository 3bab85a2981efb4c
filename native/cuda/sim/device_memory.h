// Device memory of the simulation: out of reach while no kernel and no copy runs, so that host code which takes a
// device pointer for its own ends at that very place, as it would with a GPU. Reads beyond the end of an allocation
// (rounded up to 256 bytes) meet a page that nobody may touch. Large allocations are always in reach: the change takes
// time by the page at every launch, and one large model left to the garbage collector would make all else crawl.
// CUDASIM_HOST_ACCESS=1, and AddressSanitizer, which finds more of such errors in ordinary memory, switch all this off.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace cudasim {

class DeviceMemory {
 public:
  static DeviceMemory& instance() {
    static auto& memory = *new DeviceMemory;  // outlives all that is freed at the end of the process
    return memory;
  }

  /// Nothing where the system has no memory. Filled with NaNs: device memory is not initialised.
  void* allocate(size_t bytes) {
    const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (!guarded_) {
      void* memory = std::aligned_alloc(kAlignment, size);
      if (memory != nullptr) std::memset(memory, 0xff, size);
      return memory;
    }
    const size_t pages = (size + kPage - 1) / kPage * kPage;
    const std::lock_guard lock(mutex_);
    void* base = mmap(nullptr, pages + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    std::memset(base, 0xff, pages);
    mprotect(static_cast<char*>(base) + pages, kPage, PROT_NONE);
    if (open_ == 0 && pages <= kMostGuarded) mprotect(base, pages, PROT_NONE);
    char* memory = static_cast<char*>(base) + pages - size;
    blocks_[memory] = {base, pages};
    return memory;
  }

  void release(void* memory) {
    if (!guarded_) return std::free(memory);
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(memory);
    if (found == blocks_.end()) return;
    munmap(found->second.base, found->second.pages + kPage);
    blocks_.erase(found);
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--open_ == 0) protect(PROT_NONE);
  }

 private:
  static constexpr size_t kAlignment = 256, kPage = 4096, kMostGuarded = size_t{1} << 21;

  struct Block {
    void* base;
    size_t pages;  // in bytes, the guard page not counted
  };

  void protect(int protection) {
    for (const auto& [memory, block] : blocks_) {
      if (block.pages <= kMostGuarded) mprotect(block.base, block.pages, protection);
    }
  }

#if defined(__SANITIZE_ADDRESS__)
  const bool guarded_ = false;
#else
  const bool guarded_ = std::getenv("CUDASIM_HOST_ACCESS") == nullptr;
#endif
  std::mutex mutex_;
  std::map<void*, Block> blocks_;
  int open_ = 0;  // kernels and copies under way
};

/// While one exists, device memory may be touched.
class DeviceAccess {
 public:
  DeviceAccess() { DeviceMemory::instance().open(); }
  ~DeviceAccess() { DeviceMemory::instance().close(); }
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace cudasim
