// One atomic counter hands out each thread's share. Threads spin briefly between regions, which follow each other
// within microseconds in a training step, and then sleep on a futex (std::atomic::wait).
#include "cpu/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

#include "core/error.h"
#include "cpu/cpu_features.h"

namespace selfrefine {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::chrono::microseconds kSpin{50};

/// Which pool's body this thread is executing, and as which of its threads.
struct Inside {
  const ThreadPool* pool = nullptr;
  int thread = 0;
};
thread_local Inside inside;

class Enter {
 public:
  Enter(const ThreadPool* pool, int thread) : before_(inside) { inside = {pool, thread}; }
  ~Enter() { inside = before_; }
  Enter(const Enter&) = delete;
  Enter& operator=(const Enter&) = delete;

 private:
  Inside before_;
};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Spins until ready() or for kSpin; says whether it became ready.
template <typename Ready>
bool spin_until(Ready ready) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() < deadline);
  return ready();
}

/// The first task of a thread's share.
int64_t share_begin(int64_t tasks, int share, int shares) {
  return tasks / shares * share + tasks % shares * share / shares;
}

/// While it lives, threads that start take no signals: those belong to the host process.
class BlockSignals {
 public:
#if defined(__linux__) || defined(__APPLE__)
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

}  // namespace

ThreadPool::ThreadPool(int threads, bool working) : working_(working) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::invalid_argument, "threads is ", threads, ", expected 1 to ", kMaxThreads,
         ", or 0 for as many as this process may use");
  }
  threads_ = threads == 0 ? std::min(available_processors(), kMaxThreads) : threads;
  shares_ = std::make_unique<Share[]>(static_cast<size_t>(threads_));
  if (working) start_workers(threads_ - 1);
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::start_workers(int count) {
  const BlockSignals blocked;
  workers_.reserve(static_cast<size_t>(count));
  try {
    for (int i = 0; i < count; ++i) workers_.emplace_back([this, i] { work(i + 1); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size();
    stop_workers();
    fail(ErrorCode::out_of_memory, "could start only ", started, " of ", count, " threads (", error.what(),
         "); ask for fewer threads");
  }
}

void ThreadPool::stop_workers() {
  stop_.store(true);
  published_.fetch_add(1);
  published_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::work(int thread) {
  while (true) {
    const uint32_t seen = published_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    run_tasks(thread);
    const auto news = [&] { return published_.load(std::memory_order_relaxed) != seen; };
    if (!spin_until(news)) published_.wait(seen);
  }
}

int64_t ThreadPool::run_share(int share, int thread) {
  std::atomic<int64_t>& unclaimed = shares_[static_cast<size_t>(share)].unclaimed;
  int64_t done = 0;
  while (unclaimed.load(std::memory_order_relaxed) > 0) {
    const int64_t left = unclaimed.fetch_sub(1, std::memory_order_acquire);
    if (left <= 0) break;
    ++done;
    try {
      (*body_)(share_begin(tasks_, share + 1, threads_) - left, thread);
    } catch (...) {
      record_failure();
    }
  }
  return done;
}

void ThreadPool::run_tasks(int thread) {
  const Enter enter(this, thread);
  int64_t done = 0;
  for (int i = 0; i < threads_; ++i) done += run_share((thread + i) % threads_, thread);
  if (done > 0 && unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) {
    finished_.fetch_add(1, std::memory_order_release);
    finished_.notify_all();
  }
}

void ThreadPool::record_failure() {
  {
    const std::lock_guard<std::mutex> lock(failure_lock_);
    if (!failure_) failure_ = std::current_exception();
  }
  for (int share = 0; share < threads_; ++share) {
    const int64_t dropped = shares_[static_cast<size_t>(share)].unclaimed.exchange(0, std::memory_order_acq_rel);
    if (dropped > 0) unfinished_.fetch_sub(dropped, std::memory_order_acq_rel);
  }
}

void ThreadPool::wait_for_workers() {
  const auto done = [&] { return unfinished_.load(std::memory_order_acquire) == 0; };
  if (spin_until(done)) return;
  while (true) {
    const uint32_t seen = finished_.load(std::memory_order_acquire);
    if (done()) return;
    finished_.wait(seen);
  }
}

void ThreadPool::run_inline(int64_t tasks, TaskRef body, int thread) {
  const Enter enter(this, thread);
  for (int64_t task = 0; task < tasks; ++task) body(task, thread);
}

void ThreadPool::parallel_for(int64_t tasks, TaskRef body) {
  if (!working_) return;
  if (tasks <= 0) return;
  if (inside.pool == this) return run_inline(tasks, body, inside.thread);
  const std::lock_guard<std::mutex> turn(callers_);
  if (tasks == 1 || workers_.empty()) return run_inline(tasks, body, 0);

  body_ = &body;
  tasks_ = tasks;
  failure_ = nullptr;
  unfinished_.store(tasks, std::memory_order_relaxed);
  for (int share = 0; share < threads_; ++share) {
    const int64_t count = share_begin(tasks, share + 1, threads_) - share_begin(tasks, share, threads_);
    shares_[static_cast<size_t>(share)].unclaimed.store(count, std::memory_order_release);
  }
  published_.fetch_add(1, std::memory_order_release);
  published_.notify_all();
  run_tasks(0);
  wait_for_workers();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace selfrefine
