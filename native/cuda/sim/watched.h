// What ThreadSanitizer must be told of the simulation's own work, which is not instrumented: accesses that stand for
// the program's; and allocations and copies of containers, which it sees all the same and which are nobody's.
#pragma once

#include <cstddef>

#if defined(CUDASIM_TSAN)
extern "C" {
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace cudasim {

/// The tensor cores read shared memory here.
inline void watch_read([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDASIM_TSAN)
  __tsan_read_range(const_cast<void*>(begin), bytes);
#endif
}
/// A copy lands in shared memory here.
inline void watch_write([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDASIM_TSAN)
  __tsan_write_range(begin, bytes);
#endif
}

/// While one exists, nothing that this fiber reads or writes is seen.
class Unseen {
 public:
#if defined(CUDASIM_TSAN)
  Unseen() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
  ~Unseen() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
#else
  Unseen() {}
#endif
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

}  // namespace cudasim
