// The CUDA language for every .cu file: nvcc's own, or its simulation on the CPU (sim/sim.h) where the same source is
// compiled by g++. Kernels are written for both at once: LAUNCH(kernel, grid, block, shared_bytes, stream, args...)
// instead of <<<>>>, DYN_SMEM(T, name) instead of `extern __shared__`, PTX only behind the functions of ptx.cuh.
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define DYN_SMEM(T, name)                                       \
  extern __shared__ __align__(1024) unsigned char name##_raw[]; \
  T* name = reinterpret_cast<T*>(name##_raw)
#else
#include "cuda/sim/sim.h"
#endif

namespace selfrefine {

/// Storage type of bfloat16 tensors in device code; same bits as bf16 of core/dtype.h.
using bfloat16 = __nv_bfloat16;

}  // namespace selfrefine
