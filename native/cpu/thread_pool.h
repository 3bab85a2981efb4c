// A pool of threads that share out numbered tasks. Each thread begins with a range of its own, always the same share,
// so that what it touched in one region is in its caches for the next; who is done takes over tasks of the others, so
// that a core which another process slows down does not hold everybody up. Knows nothing of what the tasks do.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace selfrefine {

/// A borrowed callable (task, thread): valid only while the callable lives. Costs no allocation.
class TaskRef {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, TaskRef>>>
  TaskRef(F&& f)  // NOLINT: converting on purpose
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, int64_t task, int thread) {
          (*static_cast<std::remove_reference_t<F>*>(object))(task, thread);
        }) {}
  void operator()(int64_t task, int thread) const { call_(object_, task, thread); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int);
};

class ThreadPool {
 public:
  /// A pool of `threads` threads with the caller as thread 0; 0 = as many as available_processors().
  /// Throws invalid_argument outside 0..1024.
  /// Without `working` it starts no thread and parallel_for does nothing: for counting what tasks would need.
  explicit ThreadPool(int threads = 0, bool working = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  bool working() const { return working_; }

  /// Calls body(task, thread) once for each task in [0, tasks), thread in [0, threads()), and returns when all are
  /// done.
  /// Thread t begins with tasks [t, t + 1) * tasks / threads(), in ascending order, then helps the next threads.
  /// If a body throws, tasks not yet begun are dropped and the first exception is rethrown here.
  /// Called from inside a body, it runs all tasks there and then on the same thread. Calls from several outside
  /// threads take turns.
  void parallel_for(int64_t tasks, TaskRef body);

 private:
  void start_workers(int count);
  void stop_workers();
  void work(int thread);
  void run_tasks(int thread);
  int64_t run_share(int share, int thread);
  void run_inline(int64_t tasks, TaskRef body, int thread);
  void record_failure();
  void wait_for_workers();

  int threads_ = 1;     // fixed before the first worker starts
  bool working_;
  std::mutex callers_;  // held for a whole region: one at a time

  // Of the region that runs now. Read only by a thread that holds a claimed task, so never while they change: the
  // region cannot end before that task does. A worker that wakes too late finds nothing to claim, and nobody waits for
  // it.
  const TaskRef* body_ = nullptr;
  int64_t tasks_ = 0;
  std::mutex failure_lock_;
  std::exception_ptr failure_;

  // What all threads write has a cache line to itself.
  struct alignas(64) Share {
    std::atomic<int64_t> unclaimed{0};  // counts down; below zero when several threads found it empty
  };
  std::unique_ptr<Share[]> shares_;  // by thread
  alignas(64) std::atomic<int64_t> unfinished_{0};
  alignas(64) std::atomic<uint32_t> published_{0};  // regions so far: what a sleeping worker waits on
  std::atomic<uint32_t> finished_{0};               // what a sleeping caller waits on
  std::atomic<bool> stop_{false};

  std::vector<std::thread> workers_;
};

}  // namespace selfrefine
