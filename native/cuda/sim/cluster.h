// Clusters: blocks that start together, meet at a barrier of their own and write into each other's shared memory. One
// machine thread runs all blocks of a cluster by turns, so that their kernels must keep all shared memory dynamic: a
// __shared__ variable would be the same for all. Found: unequal arrivals and waits, a peer that may not have started
// or has ended, addresses outside of shared memory; under ThreadSanitizer, accesses that no barrier orders.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/sim/block.h"

namespace cudasim {

inline constexpr unsigned kMostBlocks = 8;  // what every GPU with clusters takes

class Cluster {
 public:
  /// The one of this machine thread.
  static Cluster& here();

  /// The block whose thread runs now.
  Block& current() { return *current_; }

  /// Runs the cluster of program.cluster blocks whose first has this index to its end. Throws like a block.
  void run(const Block::Program& program, uint3 first);

  unsigned size() const { return size_; }
  unsigned rank() const { return current_->rank(); }
  void arrive(const Site& site);
  void wait(const Site& site);
  /// Where the block `rank` has what lies at this address of the caller's dynamic shared memory.
  void* map(const void* shared, size_t bytes, unsigned rank, const Site& site);
  /// A thread has ended, and does not wait.
  void leave(const Thread& thread);

 private:
  void release_barrier();
  Block* choose();
  void end();

  std::vector<std::unique_ptr<Block>> blocks_;
  Block* current_ = nullptr;
  unsigned size_ = 0, order_ = 0;
  uint64_t random_ = 0;
  unsigned live_ = 0, arrived_ = 0, generation_ = 0;  // threads; barriers passed
  char barrier_[2] = {};                              // tokens for ThreadSanitizer, by turns
};

}  // namespace cudasim
