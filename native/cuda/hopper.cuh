// The PTX instructions of Hopper (sm_90a) that kernels use, each as a function: mbarriers, copies of boxes of a tensor
// by TMA, named barriers, registers moved between warpgroups; the matrix products are in wgmma.cuh. Emulated where
// there is no nvcc (sim/transfers.h, sim/warpgroups.h); empty for other architectures, where nobody launches such a
// kernel. Never run on a GPU so far: layouts and protocols are the PTX manual's, checked by the emulation only.
#pragma once

#include "cuda/ptx.cuh"

#if !defined(CUDASIM)
#include <cuda.h>
#endif

// Defined where Hopper's instructions exist: kernels keep their bodies to themselves elsewhere.
#if defined(CUDASIM) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SELFREFINE_ON_HOPPER 1
#endif

namespace selfrefine::cuda {

// An mbarrier is 8 bytes of shared memory. It passes from one phase to the next when as many threads have arrived as it
// was made for and all bytes that were expected have landed. Phases have parity 0, 1, 0, ...; mbarrier_wait(b, p)
// returns when the phase of parity p is over, at once if the current phase is not of parity p: so a fresh barrier lets
// pass who waits for parity 1.

#if defined(CUDASIM)

#define SELFREFINE_SITE cudasim::Site site = cudasim::Site::current()

/// What TMA knows of a tensor; see tensor_map.h.
using TensorMap = cudasim::TensorMap;

inline void mbarrier_init(uint64_t* barrier, int arrivals, SELFREFINE_SITE) {
  cudasim::mbarrier_init(barrier, static_cast<unsigned>(arrivals), site);
}
/// After the inits, before a __syncthreads(): makes them known to TMA.
inline void mbarrier_fence_init() { cudasim::mbarrier_fence_init(); }
inline void mbarrier_arrive(uint64_t* barrier, SELFREFINE_SITE) { cudasim::mbarrier_arrive(barrier, 0, site); }
/// Arrives, and lets the phase wait for so many bytes too.
inline void mbarrier_arrive_expect(uint64_t* barrier, int bytes, SELFREFINE_SITE) {
  cudasim::mbarrier_arrive(barrier, static_cast<unsigned>(bytes), site);
}
inline void mbarrier_wait(uint64_t* barrier, int parity, SELFREFINE_SITE) {
  cudasim::mbarrier_wait(barrier, static_cast<unsigned>(parity), site);
}

/// Starts to copy the map's box from (x, y), x innermost, to shared memory divisible by 1024; what is outside of the
/// tensor becomes 0 and counts as bytes like the rest. One thread calls it.
inline void tma_load(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, SELFREFINE_SITE) {
  const int at[] = {x, y};
  cudasim::tma_load(to, map, barrier, at, site);
}
inline void tma_load(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, int z, SELFREFINE_SITE) {
  const int at[] = {x, y, z};
  cudasim::tma_load(to, map, barrier, at, site);
}
inline void tma_prefetch(const TensorMap&) {}

/// Barriers 1 to 15 of a block, each for `threads` threads that come to sync or only announce themselves.
inline void named_barrier_sync(int id, int threads, SELFREFINE_SITE) {
  cudasim::named_barrier(static_cast<unsigned>(id), static_cast<unsigned>(threads), true, site);
}
inline void named_barrier_arrive(int id, int threads, SELFREFINE_SITE) {
  cudasim::named_barrier(static_cast<unsigned>(id), static_cast<unsigned>(threads), false, site);
}

/// All of a warpgroup: gives registers back, or waits for some; kCount of each thread, divisible by 8.
template <int kCount>
void give_registers() {}
template <int kCount>
void take_registers() {}

#undef SELFREFINE_SITE

#else

using TensorMap = CUtensorMap;

#if defined(SELFREFINE_ON_HOPPER)
#define SELFREFINE_HOPPER_ASM(...) asm volatile(__VA_ARGS__)
#else
#define SELFREFINE_HOPPER_ASM(...) static_cast<void>(0)
#endif

__device__ __forceinline__ void mbarrier_init(uint64_t* barrier, int arrivals) {
  SELFREFINE_HOPPER_ASM("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
                        : "memory");
}

__device__ __forceinline__ void mbarrier_fence_init() {
  SELFREFINE_HOPPER_ASM("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier) {
  SELFREFINE_HOPPER_ASM("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

__device__ __forceinline__ void mbarrier_arrive_expect(uint64_t* barrier, int bytes) {
  SELFREFINE_HOPPER_ASM("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                        "r"(bytes)
                        : "memory");
}

/// A wait of 9 to 13 seconds, %globaltimer_hi counting 4.3 at a time, has no end: an error, not a GPU that hangs.
__device__ __forceinline__ void mbarrier_wait(uint64_t* barrier, int parity) {
  SELFREFINE_HOPPER_ASM(
      "{\n"
      ".reg .pred over;\n"
      ".reg .b32 begin, now;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@over bra done;\n"
      "mov.u32 begin, %%globaltimer_hi;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@over bra done;\n"
      "mov.u32 now, %%globaltimer_hi;\n"
      "sub.u32 now, now, begin;\n"
      "setp.lt.u32 over, now, 3;\n"
      "@over bra again;\n"
      "trap;\n"
      "done:\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

__device__ __forceinline__ void tma_load(void* to, const TensorMap& map, uint64_t* barrier, int x, int y) {
  SELFREFINE_HOPPER_ASM(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
}

__device__ __forceinline__ void tma_load(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, int z) {
  SELFREFINE_HOPPER_ASM(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

/// The map itself lies in the kernel's parameters: fetches it ahead of the first copy.
__device__ __forceinline__ void tma_prefetch(const TensorMap& map) {
  SELFREFINE_HOPPER_ASM("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  SELFREFINE_HOPPER_ASM("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  SELFREFINE_HOPPER_ASM("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <int kCount>
__device__ __forceinline__ void give_registers() {
  SELFREFINE_HOPPER_ASM("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

template <int kCount>
__device__ __forceinline__ void take_registers() {
  SELFREFINE_HOPPER_ASM("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

#endif

/// Whether what one warpgroup of a block alone on its multiprocessor gives back is enough for all others: else these
/// would wait for ever. A thread has its share of the 65536 registers when the kernel starts.
constexpr bool registers_suffice(int threads, int given, int taken) {
  return given * 128 + taken * (threads - 128) <= 65536 / threads / 8 * 8 * threads;
}

/// A ring of stages that one side fills and the other empties: which is next, and in which turn.
template <int kStages>
struct RingPlace {
  int stage = 0, parity = 0;

  __device__ __forceinline__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

}  // namespace selfrefine::cuda

#include "cuda/wgmma.cuh"
