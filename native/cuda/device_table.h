// A table that the host makes and kernels read: an index tensor, a list of work. Kernels run later than the host, so
// the table is staged in pinned memory that stays untouched until it was copied to the device. (Kernels could read
// pinned memory themselves, but each small read would cross the bus.)
#pragma once

#include <array>
#include <cstddef>

#include "cuda/language.h"

namespace selfrefine {

class DeviceTable {
 public:
  DeviceTable() = default;
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;
  /// All work on the stream must be done.
  ~DeviceTable();

  /// Device memory with these contents for the kernels that `stream` is given from now until the next call. `host` is
  /// free again on return. Contents equal to those of the last call cost a comparison, not a copy: every layer may ask.
  const void* upload(const void* host, size_t bytes, cudaStream_t stream);

  /// Device memory held.
  size_t bytes() const { return capacity_; }

 private:
  /// The host waits for the device only when it is this many tables ahead.
  static constexpr size_t kStages = 4;

  struct Stage {
    void* pinned = nullptr;
    cudaEvent_t copied{};
  };

  void release();
  void reserve(size_t bytes, cudaStream_t stream);

  std::array<Stage, kStages> stages_{};
  size_t current_ = 0;  // the stage of the last upload
  size_t held_ = 0;     // its bytes
  size_t capacity_ = 0;
  void* device_ = nullptr;
};

}  // namespace selfrefine
