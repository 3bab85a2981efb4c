// One block of CUDA threads on one machine thread: a fiber each, of which one runs until it waits; then the next that
// can. Who waits for what is kept as one bit a thread, 32 to a warp.
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
    size_t shared_bytes;
    unsigned order;
  };

  /// The one of this machine thread, kept from launch to launch.
  static Block& here();

  /// Runs one block to its end. Throws ERR_CUDA if a thread failed, or if none can go on.
  void run(const Program& program, uint3 index);

  /// The CUDA thread that calls; null outside a kernel.
  Thread* running() const { return running_; }
  Warp& warp_of(const Thread& thread) { return warps_[thread.number / kWarp]; }
  Thread& thread(unsigned number) { return threads_[number]; }
  unsigned char* shared() const { return shared_; }

  Transfers& transfers() { return transfers_; }
  Warpgroups& warpgroups() { return warpgroups_; }

  /// Lets other threads run until this one is made ready; see make_ready().
  void wait(const Site& site, const char* what = "a collective of its warp");
  /// Lets other warps run, then goes on: for loops that wait for what another thread does.
  void yield();
  void make_ready(unsigned warp, uint32_t lanes);
  void sync_threads(const Site& site);
  [[noreturn]] void fail(const std::string& what, const Site& site);

 private:
  Block() = default;
  ~Block();

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
  void discard_fibers();

  Fiber machine_thread_;
  const Program* program_ = nullptr;
  Stacks stacks_;
  std::vector<Thread> threads_;
  std::unique_ptr<Warp[]> warps_;
  unsigned char* shared_ = nullptr;
  size_t shared_capacity_ = 0;
  Transfers transfers_;
  Warpgroups warpgroups_;

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
