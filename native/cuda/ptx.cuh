// The PTX instructions of sm_80 that kernels use, each as a function: bf16 matrix products on tensor cores, loads of
// their fragments from shared memory, asynchronous copies into it. Emulated lane by lane where there is no nvcc.
// All but the copies are warp collectives: every lane of the warp must call them.
#pragma once

#include "cuda/language.h"

namespace selfrefine::cuda {

// Fragments of mma_m16n8k16 (l = lane, g = l / 4, t = l % 4), two consecutive elements a register, the lower first:
//   a  (16, 16)  a[0]: row g, columns 2t..   a[1]: row g + 8   a[2]: row g, columns 8 + 2t..   a[3]: row g + 8, those
//   b  (16, 8)   b0: rows 2t.., column g     b1: rows 8 + 2t..
//   d  (16, 8)   d[0], d[1]: row g, columns 2t, 2t + 1          d[2], d[3]: row g + 8
// ldmatrix_x4: lane l gives the address of a row of 8 elements, row l % 8 of matrix l / 8; r[i] then holds of matrix i
// the elements (g, 2t) and (g, 2t + 1), and transposed those at (2t, g) and (2t + 1, g). Addresses divisible by 16.

#if defined(CUDASIM)

// A collective's place in the source must be the same for all lanes: the call's.
#define SELFREFINE_SITE cudasim::Site site = cudasim::Site::current()

/// d += a b
inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, SELFREFINE_SITE) {
  cudasim::mma_m16n8k16(d, a, b0, b1, site);
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, SELFREFINE_SITE) {
  cudasim::ldmatrix_x4<false>(r, row, site);
}
inline void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row, SELFREFINE_SITE) {
  cudasim::ldmatrix_x4<true>(r, row, site);
}

/// Starts to copy 16 bytes to shared memory, or to fill them with zeros unless `valid`. Both addresses divisible by 16;
/// `from` must be readable memory or is not read if not valid.
inline void cp_async_16(void* to, const void* from, bool valid = true, SELFREFINE_SITE) {
  cudasim::cp_async(to, from, 16, valid ? 16 : 0, site);
}
/// The same of 8 bytes, both addresses divisible by 8.
inline void cp_async_8(void* to, const void* from, bool valid = true, SELFREFINE_SITE) {
  cudasim::cp_async(to, from, 8, valid ? 8 : 0, site);
}
/// Ends a group: the copies this thread started since the last one.
inline void cp_async_commit() { cudasim::cp_async_commit(); }
/// Waits until at most the kPending newest groups of this thread are still on their way. What other threads copied is
/// there after a barrier only.
template <int kPending>
void cp_async_wait() {
  cudasim::cp_async_wait(kPending);
}

#undef SELFREFINE_SITE

/// 2^x within 2 units in the last place; 0 below -126.
inline float exp2_approximate(float x) { return x < -126.0f ? 0.0f : std::exp2(x); }

#else

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid = true) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void cp_async_8(void* to, const void* from, bool valid = true) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 8 : 0)
               : "memory");
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#endif

}  // namespace selfrefine::cuda
