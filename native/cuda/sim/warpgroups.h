// wgmma: products of four warps whose operands lie in shared memory, as descriptors say, and whose sums belong to the
// tensor cores until the warp waits for them. The sums are NaN from the issue to the wait, and shared memory is read as
// late as the hardware may read it, at the wait: a stage that is given back too early is NaN or new by then.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "cuda/sim/hopper.h"

namespace cudasim {

class Warpgroups {
 public:
  static constexpr unsigned kLanes = 32, kWarps = 32, kMostN = 256;

  /// What each lane brings to an issue.
  struct Given {
    float* d;
    union {
      uint32_t registers[4];
      uint64_t descriptor;
    };
    uint64_t b;
  };

  void reset(unsigned threads, size_t shared_bytes);

  // Each is called once for a warp, when all its lanes have come.
  void issue(unsigned warp, const Wgmma& product, const Given* given, const Site& site);
  void commit(unsigned warp) { ++warps_[warp].group; }
  void wait(unsigned warp, unsigned pending);

  void fence(unsigned warp, unsigned lane) { warps_[warp].fenced |= 1u << lane; }

  std::string unfinished() const;

 private:
  /// The sums of a warp, (16, n), while the tensor cores have them.
  struct Sums {
    std::array<float*, kLanes> lanes;
    std::vector<float> values;
    unsigned users = 0;
  };
  struct Product {
    Wgmma what;
    Site site;
    std::array<std::array<uint32_t, 4>, kLanes> registers;
    std::shared_ptr<Sums> sums;
    unsigned group;
  };
  struct Warp {
    std::vector<Product> pending;
    unsigned group = 0;
    uint32_t fenced = 0;  // lanes that called fence() since the last wait
    size_t issued = 0;
  };
  /// By which the warps of a warpgroup must agree.
  struct Entry {
    uint64_t b;
    unsigned n, line;
    bool operator==(const Entry&) const = default;
  };

  std::shared_ptr<Sums> take_sums(Warp& warp, unsigned n, const Given* given, const Site& site);
  void compute(unsigned warp, const Product& product) const;
  void read_chunk(uint16_t* to, uint32_t address, const Site& site) const;
  void read_a(float (&a)[16][16], unsigned warp, const Product& product) const;
  void read_b(float (&b)[16][kMostN], const Product& product) const;

  unsigned threads_ = 0;
  size_t shared_bytes_ = 0;
  bool used_ = false;
  std::array<Warp, kWarps> warps_;
  std::array<std::vector<Entry>, kWarps / 4> issued_;  // by warpgroup
};

}  // namespace cudasim
