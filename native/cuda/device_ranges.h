// Which addresses are device memory that the backend gave: an index tensor there is used in place, any other is
// uploaded. Asked for every index tensor of every op, so it must cost less than asking the driver.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

namespace selfrefine {

class DeviceRanges {
 public:
  void add(const void* begin, size_t bytes) {
    const std::lock_guard lock(mutex_);
    ranges_[static_cast<const char*>(begin)] = bytes;
  }
  void remove(const void* begin) {
    const std::lock_guard lock(mutex_);
    ranges_.erase(static_cast<const char*>(begin));
  }
  bool contains(const void* address) const {
    const std::lock_guard lock(mutex_);
    const auto after = ranges_.upper_bound(static_cast<const char*>(address));
    if (after == ranges_.begin()) return false;
    const auto& [begin, bytes] = *std::prev(after);
    return static_cast<const char*>(address) < begin + bytes;
  }

 private:
  mutable std::mutex mutex_;  // memory is freed on any thread
  std::map<const char*, size_t> ranges_;
};

}  // namespace selfrefine
