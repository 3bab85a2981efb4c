// Thread-block clusters (sm_90 and newer): up to eight blocks of a launch that run at the same time and can write into
// each other's shared memory. Each PTX instruction is a function, as in ptx.cuh; emulated where there is no nvcc
// (sim/cluster.h); empty for older architectures, where nobody launches such a kernel. Rules: nobody touches another
// block's memory before a first barrier of the cluster, when all have started, nor after the last one, when they may
// have ended. Never run on a GPU so far.
#pragma once

#include <utility>

#include "cuda/language.h"

#if defined(CUDASIM) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
#define SELFREFINE_HAS_CLUSTERS 1
#endif

namespace selfrefine::cuda {

// The barrier of all threads of the cluster: arriving releases what the thread has written, in its own memory or
// another block's; waiting acquires it. Each arrival is followed by one wait of the same thread.

#if defined(CUDASIM)

#define SELFREFINE_SITE cudasim::Site site = cudasim::Site::current()

inline unsigned cluster_size() { return cudasim::cluster_size(); }
inline unsigned cluster_rank() { return cudasim::cluster_rank(); }
inline void cluster_arrive(SELFREFINE_SITE) { cudasim::cluster_arrive(site); }
inline void cluster_wait(SELFREFINE_SITE) { cudasim::cluster_wait(site); }

/// Writes to the shared memory of the block `rank`, where `shared` is in one's own. Dynamic shared memory.
inline void cluster_store(float* shared, unsigned rank, float value, SELFREFINE_SITE) {
  *static_cast<float*>(cudasim::map_shared(shared, sizeof value, rank, site)) = value;
}

#undef SELFREFINE_SITE

#else

#if defined(SELFREFINE_HAS_CLUSTERS)
#define SELFREFINE_CLUSTER_ASM(...) asm volatile(__VA_ARGS__)
#else
#define SELFREFINE_CLUSTER_ASM(...) static_cast<void>(0)
#endif

__device__ __forceinline__ unsigned cluster_size() {
  unsigned size = 1;
  SELFREFINE_CLUSTER_ASM("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
}

__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank = 0;
  SELFREFINE_CLUSTER_ASM("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

__device__ __forceinline__ void cluster_arrive() {
  SELFREFINE_CLUSTER_ASM("barrier.cluster.arrive.release;" ::: "memory");
}

__device__ __forceinline__ void cluster_wait() {
  SELFREFINE_CLUSTER_ASM("barrier.cluster.wait.acquire;" ::: "memory");
}

__device__ __forceinline__ void cluster_store(float* shared, unsigned rank, float value) {
  SELFREFINE_CLUSTER_ASM(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "st.shared::cluster.f32 [there], %2;\n"
      "}" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "r"(rank), "f"(value)
      : "memory");
}

template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), unsigned cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute size{};
  size.id = cudaLaunchAttributeClusterDimension;
  size.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &size;
  config.numAttrs = 1;
  cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);  // an error is cudaGetLastError()'s
}

/// LAUNCH of a grid whose blocks form clusters of `cluster` neighbours along x; grid.x is a multiple of it.
#define LAUNCH_CLUSTERS(kernel, cluster, grid, block, shared_bytes, stream, ...) \
  ::selfrefine::cuda::launch_clusters(kernel, cluster, grid, block, shared_bytes, stream, __VA_ARGS__)

#endif

}  // namespace selfrefine::cuda
