// The switch of stacks, and what the sanitizers are told about it.
#include "cuda/sim/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace cudasim {

namespace {

#if !defined(CUDASIM_USE_UCONTEXT)
constexpr int kSavedRegisters = 6;

/// Saves the registers that a call preserves and the stack pointer, and loads those of another stack.
__attribute__((naked, noinline)) void jump(void** /*save*/, void* /*to*/) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

}  // namespace

void prepare(Fiber& fiber, void (*entry)()) {
  fiber.asan_stack = nullptr;
  constexpr size_t kTop = 4096;  // where the fiber was left for ever, its frames still count
  unpoison(fiber.stack + fiber.stack_bytes - kTop, kTop);
#if defined(CUDASIM_USE_UCONTEXT)
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = const_cast<char*>(fiber.stack);
  fiber.context.uc_stack.ss_size = fiber.stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#else
  void** top = reinterpret_cast<void**>(const_cast<char*>(fiber.stack) + fiber.stack_bytes);
  *--top = nullptr;  // the return address of entry(), which keeps its frame aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
#endif
}

void adopt_current_stack([[maybe_unused]] Fiber& fiber) {
#if defined(CUDASIM_ASAN)
  pthread_attr_t attributes;
  void* stack = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &stack, &fiber.stack_bytes);
    pthread_attr_destroy(&attributes);
  }
  fiber.stack = static_cast<const char*>(stack);
#elif defined(CUDASIM_TSAN)
  fiber.tsan_fiber = __tsan_get_current_fiber();
#endif
}

void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
#if defined(CUDASIM_ASAN)
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.asan_stack, to.stack, to.stack_bytes);
#elif defined(CUDASIM_TSAN)
  __tsan_switch_to_fiber(to.tsan_fiber, 1);  // 1: the switch itself orders nothing
#endif
#if defined(CUDASIM_USE_UCONTEXT)
  swapcontext(&from.context, &to.context);
#else
  jump(&from.stack_pointer, to.stack_pointer);
#endif
#if defined(CUDASIM_ASAN)
  __sanitizer_finish_switch_fiber(from.asan_stack, nullptr, nullptr);
#endif
}

void entered_first_time() {
#if defined(CUDASIM_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

Stacks::~Stacks() {
  if (memory_ == nullptr) return;
  forget_frames();
  munmap(memory_, count_ * kBytes);
}

void Stacks::grow(size_t count) {
  if (count <= count_) return;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = mmap(nullptr, count * kBytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED) {
    selfrefine::fail(selfrefine::ErrorCode::out_of_memory, "simulated GPU: no memory for the stacks of a block of ",
                     count, " threads");
  }
  this->~Stacks();
  memory_ = static_cast<char*>(memory);
  count_ = count;
}

void Stacks::assign(size_t i, Fiber& fiber) const {
  // Tops at equal distances of a power of two would all fall into the same few cache sets.
  const size_t stagger = i * 17 * 64 % 16384;
  fiber.stack = memory_ + i * kBytes;
  fiber.stack_bytes = kBytes - stagger;
}

}  // namespace cudasim
