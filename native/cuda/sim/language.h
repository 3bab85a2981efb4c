// The words of CUDA C++ that are no C++: qualifiers, built-in types and variables, dynamic shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "cuda/sim/sanitizers.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#if defined(CUDASIM_ASAN) || defined(CUDASIM_TSAN)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Of the CUDA thread that runs now on this machine thread.
extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;

namespace cudasim {

/// Where in the source a barrier or collective stands: all threads that take part must come from the same place.
using Site = std::source_location;

/// The block's dynamic shared memory; all ones (NaN) when the block starts.
unsigned char* dynamic_shared();

/// Ends the kernel: LAUNCH throws ERR_CUDA with file, line and thread.
[[noreturn]] void fail(const char* what, const Site& site);

}  // namespace cudasim

#define DYN_SMEM(T, name) T* name = reinterpret_cast<T*>(cudasim::dynamic_shared())
