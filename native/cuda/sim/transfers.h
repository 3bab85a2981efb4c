// What waits inside a block besides its barrier: mbarriers with the bytes they expect, copies of boxes by TMA, named
// barriers. A box is NaN from the start of its copy and lands only when a thread waits for it; the bytes lie as the
// hardware's 128-byte swizzle puts them. Wrong counts, bytes, parities and alignments end in an error or in a deadlock,
// which is one too. Not seen: a missing proxy fence between ordinary writes and TMA or wgmma.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "cuda/sim/hopper.h"

namespace cudasim {

class Block;

/// A set of a block's threads.
struct ThreadSet {
  std::array<uint32_t, 32> warps{};

  void insert(unsigned thread) { warps[thread / 32] |= 1u << thread % 32; }
  bool empty() const;
  /// Lets them run, and forgets them.
  void wake(Block& block);
};

class Transfers {
 public:
  /// A new block, with so much shared memory.
  void reset(size_t shared_bytes);

  void init(uint64_t* barrier, unsigned arrivals, const Site& site);
  /// Makes the mbarriers known to TMA.
  void publish();
  void arrive(uint64_t* barrier, unsigned bytes, const Site& site);
  void wait(uint64_t* barrier, unsigned parity, const Site& site);
  void load(void* to, const TensorMap& map, uint64_t* barrier, const int* at, const Site& site);
  void meet(unsigned id, unsigned threads, bool waits, const Site& site);

  /// What is still under way at the end of the block, or nothing.
  std::string unfinished() const;

 private:
  struct Barrier {
    unsigned expected = 0, missing = 0;  // arrivals
    int64_t bytes = 0;                   // expected and not yet landed
    unsigned phase = 0;
    bool published = false;
    ThreadSet waiting;
  };
  struct Load {
    TensorMap map;
    uint32_t to;
    Barrier* barrier;
    std::array<int, TensorMap::kMostRank> at;
  };
  struct Named {
    unsigned expected = 0, arrived = 0;
    ThreadSet waiting;
  };

  uint32_t offset_of(const void* shared, size_t bytes, const Site& site) const;
  Barrier& find(uint64_t* barrier, const Site& site);
  void settle(Barrier& barrier);
  void land(Barrier& barrier);

  size_t shared_bytes_ = 0;
  std::map<uint32_t, Barrier> barriers_;  // by offset in shared memory
  std::vector<Load> loads_;
  std::array<Named, 16> named_;
};

}  // namespace cudasim
