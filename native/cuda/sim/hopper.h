// The instructions of sm_90 that cuda/hopper.cuh and cuda/cluster.cuh wrap: mbarriers, copies of boxes by TMA, named
// barriers, products of a warpgroup (wgmma), clusters. See transfers.h, warpgroups.h and cluster.h for what the
// emulation finds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/sim/language.h"

namespace cudasim {

/// A tensor of bfloat16 as cuTensorMapEncodeTiled describes it: 128-byte swizzle, zeros outside. Innermost first.
struct alignas(64) TensorMap {
  static constexpr unsigned kMostRank = 5;
  const unsigned char* base;
  unsigned rank;
  uint32_t box[kMostRank];
  uint64_t sizes[kMostRank], strides[kMostRank];  // in elements; in bytes
};

/// Null, or what the driver would refuse. `strides`: of dimensions 1 to rank - 1.
const char* encode_tensor_map(TensorMap& map, const void* base, unsigned rank, const uint64_t* sizes,
                              const uint64_t* strides, const uint32_t* box);

void mbarrier_init(uint64_t* barrier, unsigned arrivals, const Site& site);
void mbarrier_fence_init();
void mbarrier_arrive(uint64_t* barrier, unsigned expected_bytes, const Site& site);
void mbarrier_wait(uint64_t* barrier, unsigned parity, const Site& site);
/// `at`: a coordinate for each dimension.
void tma_load(void* to, const TensorMap& map, uint64_t* barrier, const int* at, const Site& site);
void named_barrier(unsigned id, unsigned threads, bool waits, const Site& site);

/// The address that shared memory has for descriptors.
uint32_t shared_offset(const void* shared);

/// One product of a warpgroup: d (64, n) [+]= a (64, 16) b (16, n).
struct Wgmma {
  unsigned n;
  bool a_in_registers, a_transposed, b_transposed, accumulate;
  uint64_t a, b;  // descriptors
};
/// `d`: n / 2 sums of this lane, NaN until waited for. `a`: 4 registers, if a is in registers.
void wgmma(const Wgmma& product, float* d, const uint32_t* a, const Site& site);
void wgmma_fence();
void wgmma_commit(const Site& site);
void wgmma_wait(unsigned pending, const Site& site);

unsigned cluster_size();
unsigned cluster_rank();
void cluster_arrive(const Site& site);
void cluster_wait(const Site& site);
/// Where the block `rank` of the cluster has what lies at this address of one's own dynamic shared memory.
void* map_shared(const void* shared, size_t bytes, unsigned rank, const Site& site);

}  // namespace cudasim
