// Float arenas seen from host code, a block at a time: in place where the backend's memory is host memory, else through
// a shared block. Knows nothing of what the floats are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "backend.h"

namespace selfrefine {

class Blocks {
 public:
  static constexpr int64_t kFloats = int64_t{1} << 20;  // a multiple of 4, as the random numbers of fresh weights want

  explicit Blocks(Backend& backend) : backend_(backend) {}

  /// Calls use(block, first, n) for floats [first, first + n) of `memory`, from 0 to `count`.
  template <typename Use>
  void read(const float* memory, int64_t count, Use&& use) {
    for (int64_t first = 0; first < count; first += kFloats) {
      const int64_t n = std::min(kFloats, count - first);
      const float* block = memory + first;
      if (!backend_.host_memory()) {
        backend_.copy(staging(), block, static_cast<size_t>(n) * sizeof(float));
        block = staging();
      }
      use(block, first, n);
    }
  }

  /// Calls fill(block, first, n) for the same; the floats become what it writes to the block.
  template <typename Fill>
  void write(float* memory, int64_t count, Fill&& fill) {
    for (int64_t first = 0; first < count; first += kFloats) {
      const int64_t n = std::min(kFloats, count - first);
      if (backend_.host_memory()) {
        fill(memory + first, first, n);
      } else {
        fill(staging(), first, n);
        backend_.copy(memory + first, staging(), static_cast<size_t>(n) * sizeof(float));
      }
    }
  }

 private:
  float* staging() {
    if (!staging_) staging_ = backend_.allocate_shared("staging", static_cast<size_t>(kFloats) * sizeof(float));
    return static_cast<float*>(staging_.get());
  }

  Backend& backend_;
  std::shared_ptr<void> staging_;
};

}  // namespace selfrefine
