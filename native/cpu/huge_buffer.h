// Memory for long-lived work areas: mapped directly, in huge pages where the system grants them, touched once. Growing
// and freeing pages inside a training step costs more than the arithmetic on them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace selfrefine {

class HugeBuffer {
 public:
  HugeBuffer() = default;
  /// Throws out_of_memory, naming `what` it was for.
  HugeBuffer(int64_t bytes, const char* what);
  ~HugeBuffer();
  HugeBuffer(HugeBuffer&& other) noexcept;
  HugeBuffer& operator=(HugeBuffer&& other) noexcept;

  /// Replaces the memory by more if there are fewer bytes; the contents are lost then, also if it throws. With
  /// `touched` false it is addresses only, which count as bytes.
  void reserve(int64_t bytes, const char* what, bool touched = true);

  int64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const { return static_cast<T*>(memory_); }

 private:
  void release();

  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace selfrefine
