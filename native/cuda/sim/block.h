// One block of CUDA threads on one machine thread: a fiber each, of which one runs until it waits; then the next that
// can. Who waits for what is kept as one bit a thread, 32 to a warp. Every block belongs to a cluster, of one if not
// told otherwise: see cluster.h, which also says when a block runs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/sim/fiber.h"
#include "cuda/sim/language.h"
#include "cuda/sim/transfers.h"
#include "cuda/sim/warpgroups.h"

namespace cudasim {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kMostThreads = 1024;

/// A cp.async that has not been waited for.
struct PendingCopy {
  void* to;
  const void* from;
  unsigned bytes, valid, group;
};

struct Thread {
  Fiber fiber;
  uint3 index{};
  unsigned number = 0;
  Site waits_at;
  const char* waits_for = "";
  unsigned copy_group = 0;
  std::vector<PendingCopy> copies;
  bool has_arrived = false;  // at the cluster's barrier, and has not yet waited
  unsigned arrived_in = 0;

  unsigned lane() const { return number % kWarp; }
};

/// Lanes of a warp that meet. Two sets of data by turns: a lane may still read one while another lane arrives at the
/// next collective.
struct Collective {
  static constexpr size_t kBytesPerLane = 32, kResultBytes = 512;
  struct Data {
    alignas(16) unsigned char given[kWarp * kBytesPerLane];
    alignas(16) unsigned char result[kResultBytes];
  };

  uint32_t mask = 0, arrived = 0, generation = 0;
  Site site;
  std::array<Data, 2> data;
};

struct Warp {
  uint32_t live = 0, ready = 0, at_barrier = 0;
  std::array<Collective, 8> collectives;  // by mask
};

class Block {
 public:
  /// What all blocks of a launch share.
  struct Program {
    void (*entry)(const void* arguments);
    const void* arguments;
    dim3 grid, block;
    unsigned cluster;  // blocks of one
    size_t shared_bytes;
    unsigned order;
  };

  explicit Block(unsigned rank) : rank_(rank) {}
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// The one that runs now on this machine thread; blocks are kept from launch to launch.
  static Block& here();

  void begin(const Program& program, uint3 index);
  bool can_run() const { return ready_warps_ != 0 && !failed(); }
  /// Runs until all threads have ended, or all wait, or one has failed.
  void resume();
  bool failed() const { return !failure_.empty(); }
  /// After the last resume(): what went wrong, or nothing. Threads that still wait do so for ever.
  std::string end();
  /// To call after a failure: the threads are left where they stand.
  void discard_fibers();

  /// The CUDA thread that calls; null outside a kernel.
  Thread* running() const { return running_; }
  Warp& warp_of(const Thread& thread) { return warps_[thread.number / kWarp]; }
  Thread& thread(unsigned number) { return threads_[number]; }
  unsigned char* shared() const { return shared_; }
  size_t shared_bytes() const { return program_->shared_bytes; }
  unsigned rank() const { return rank_; }
  unsigned live() const { return live_; }

  Transfers& transfers() { return transfers_; }
  Warpgroups& warpgroups() { return warpgroups_; }

  /// Lets other threads run until this one is made ready; see make_ready().
  void wait(const Site& site, const char* what = "a collective of its warp");
  /// Lets other warps run, then goes on: for loops that wait for what another thread does.
  void yield();
  void make_ready(unsigned warp, uint32_t lanes);
  void sync_threads(const Site& site);
  /// Lets the threads run that wait for the cluster.
  void wake_from_cluster() { cluster_waiters_.wake(*this); }
  void wait_for_cluster(const Site& site);
  /// An error found where no thread can be unwound.
  void note_failure(const std::string& what);
  [[noreturn]] void fail(const std::string& what, const Site& site);

 private:
  void prepare_memory(const Program& program);
  void start_threads(const Program& program, uint3 index);
  void enter_threads();
  static void thread_main();
  void finish_thread();
  void switch_to_next(bool ends);
  Thread* next_ready();
  unsigned choose(uint32_t set);
  void release_barrier();
  std::string deadlock() const;

  Fiber machine_thread_;
  const unsigned rank_;
  const Program* program_ = nullptr;
  uint3 index_{};
  Stacks stacks_;
  std::vector<Thread> threads_;
  std::unique_ptr<Warp[]> warps_;
  unsigned char* shared_ = nullptr;
  size_t shared_capacity_ = 0;
  Transfers transfers_;
  Warpgroups warpgroups_;
  ThreadSet cluster_waiters_;

  Thread* running_ = nullptr;
  unsigned count_ = 0, live_ = 0, waiting_ = 0;  // threads; waiting_ at the block's barrier
  uint32_t ready_warps_ = 0;
  unsigned current_warp_ = 0;
  Site barrier_site_;
  uint64_t random_ = 0;
  std::string failure_;
  // Tokens for ThreadSanitizer: block begins, block ends, barriers by turns.
  char begin_ = 0, end_ = 0, barrier_[2] = {};
  unsigned barriers_ = 0;
};

/// Whether two places in the source are the same.
bool same_site(const Site& a, const Site& b);

}  // namespace cudasim
