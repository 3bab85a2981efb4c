// What the sanitizers must be told of fibers: AddressSanitizer when the stack changes, ThreadSanitizer that each CUDA
// thread is a thread and that barriers order them. Then a missing __syncthreads() is reported as a data race.
// The simulation's own sources are compiled without ThreadSanitizer (CMake defines CUDASIM_TSAN instead): their state
// is not part of the program under test.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define CUDASIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDASIM_ASAN 1
#endif
#endif

#if defined(CUDASIM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(CUDASIM_TSAN)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cudasim {

// Sanitizers follow plain statics, not thread_local ones: shared memory is then one for all, blocks run one by one.
#if defined(CUDASIM_ASAN) || defined(CUDASIM_TSAN)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// What happened before release(token) in one fiber is seen after acquire(token) in another.
inline void release([[maybe_unused]] void* token) {
#if defined(CUDASIM_TSAN)
  __tsan_release(token);
#endif
}
inline void acquire([[maybe_unused]] void* token) {
#if defined(CUDASIM_TSAN)
  __tsan_acquire(token);
#endif
}

/// Accesses to [begin, begin + bytes) are errors, or allowed again.
inline void poison([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDASIM_ASAN)
  __asan_poison_memory_region(begin, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDASIM_ASAN)
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace cudasim
