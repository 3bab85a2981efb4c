// The contract between model and hardware: memory, and run() for every op of ops.h. A Backend is used by one thread
// at a time; it may use many inside. Knows nothing of models, files or Node.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops.h"

namespace selfrefine {

struct BackendOptions {
  std::string name = "cpu";  // one of backend_names()
  int threads = 0;           // 0 = every processor this process may use
  bool rehearsal = false;    // memory is counted but not taken, ops size their work areas but compute nothing
};

/// Work that is done again and again, the same each time. See Backend::make_recording().
class Recording {
 public:
  virtual ~Recording() = default;
  /// Does `work`. It gives ops to the backend that made the recording and does nothing else: each time the same ops, on
  /// the same memory, whose index tensors all lie where allocate() gave. What varies is what that memory holds.
  virtual void run(const std::function<void()>& work) { work(); }
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const char* name() const = 0;
  /// One line for people: the instruction set and threads, or the device.
  virtual std::string description() const = 0;

  /// Zeroed memory, 64-byte aligned or better; ERR_OUT_OF_MEMORY names the arena, the bytes wanted and those free.
  /// Made for few large arenas that live long, not for temporaries. It may outlive the backend: a view that JavaScript
  /// still holds must not keep threads and packing buffers.
  virtual std::shared_ptr<void> allocate(const char* arena, size_t bytes) = 0;

  /// The same, but host code may read and write it too: batches, indices, results. What allocate() gives may lie where
  /// only ops, copy() and zero() reach it, unless host_memory().
  virtual std::shared_ptr<void> allocate_shared(const char* arena, size_t bytes) { return allocate(arena, bytes); }

  /// True if host code may touch what allocate() gives.
  virtual bool host_memory() const { return true; }

  /// Copies between any two of host memory, allocate()d and allocate_shared() memory, after all ops so far; returns
  /// when done.
  virtual void copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
  /// Sets bytes to 0, after all ops so far.
  virtual void zero(void* memory, size_t bytes) { std::memset(memory, 0, bytes); }
  /// Returns when all ops so far are done: only then may the host read what they wrote to shared memory, or write what
  /// they read; but for the indices of training's ops, which run() takes over.
  virtual void synchronize() {}
  /// Marks the end of all ops so far, in place of the mark before.
  virtual void mark() {}
  /// synchronize() for the ops before the mark alone: those after it may still be at work.
  virtual void wait_for_mark() {}

  /// True if recordings save time: shapes may then be rounded up so that they come again.
  virtual bool records() const { return false; }
  /// A recording of work on this backend, which outlives it. A backend may keep what the ops queued and queue that
  /// again, without a look at the ops.
  virtual std::unique_ptr<Recording> make_recording() { return std::make_unique<Recording>(); }

  /// Rows of the loss head whose logits should exist at a time: enough for products at full speed, few enough for
  /// caches or memory, given the vocabulary.
  virtual int64_t head_chunk_rows(int64_t vocab_size) const {
    static_cast<void>(vocab_size);
    return 512;
  }

  /// Bytes of the work areas that the backend keeps for itself, as they have grown so far. May be asked from any
  /// thread, at any time.
  virtual int64_t scratch_bytes() const { return 0; }
  /// The same of its packed forms of frozen weights.
  virtual int64_t packed_bytes() const { return 0; }
  /// Bytes that allocate() may still give.
  virtual int64_t available_bytes() const = 0;

  /// Weights that do not change until thaw(): a backend may keep its own packed form of them for MatmulForward, or use
  /// kernels made for generation, whose sums (on cuda, from Hopper on or with cuBLASLt) need not round alike.
  /// freeze() replaces what was frozen before.
  virtual void freeze(std::span<const Tensor> weights) = 0;
  virtual void thaw() = 0;

  /// Checks the op once for all backends, then computes it.
  template <typename Op>
  void run(const Op& op) {
    op.check();
    enter();
    compute(op);
  }

 protected:
  /// Called on the thread of each op, before it: a device may have to be made current there.
  virtual void enter() {}

#define SELFREFINE_DECLARE(Op) virtual void compute(const Op& op) = 0;
  SELFREFINE_OPS(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE
};

/// The names that make_backend() accepts in this build.
std::vector<std::string> backend_names();

/// Throws ERR_UNSUPPORTED for a backend this build does not have.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace selfrefine
