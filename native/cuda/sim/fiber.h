// A stack that can be left and entered again. On x86-64 a switch is a dozen instructions; elsewhere it is ucontext's,
// which also changes the signal mask and is ten times slower.
#pragma once

#include <cstddef>

#include "cuda/sim/sanitizers.h"

#if !defined(__x86_64__) || defined(CUDASIM_UCONTEXT)
#include <ucontext.h>
#define CUDASIM_USE_UCONTEXT 1
#endif

namespace cudasim {

struct Fiber {
#if defined(CUDASIM_USE_UCONTEXT)
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
  const char* stack = nullptr;  // its lowest address
  size_t stack_bytes = 0;
  void* tsan_fiber = nullptr;
  void* asan_stack = nullptr;
};

/// Makes the fiber start at entry() when it is next entered. entry() must not return but leave for ever.
void prepare(Fiber& fiber, void (*entry)());

/// Fills in the sanitizers' view of the stack this code runs on.
void adopt_current_stack(Fiber& fiber);

/// Goes on in `to`; returns when somebody switches back to `from`. If `ends`, nobody will.
void switch_fiber(Fiber& from, Fiber& to, bool ends = false);

/// To call first in a fiber's entry().
void entered_first_time();

/// Stacks for many fibers, in one mapping.
class Stacks {
 public:
  Stacks() = default;
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  size_t count() const { return count_; }
  /// At least `count` of them; those there were are gone if it grows. Throws ERR_OUT_OF_MEMORY.
  void grow(size_t count);
  void assign(size_t i, Fiber& fiber) const;
  /// After fibers were abandoned: their frames no longer exist.
  void forget_frames() const { unpoison(memory_, count_ * kBytes); }

 private:
  static constexpr size_t kBytes = kSanitized ? 256 * 1024 : 64 * 1024;

  char* memory_ = nullptr;
  size_t count_ = 0;
};

}  // namespace cudasim
