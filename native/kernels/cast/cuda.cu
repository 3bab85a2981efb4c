// Conversion on the GPU: a thread rounds eight neighbouring elements.
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"

namespace selfrefine {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads) cast_kernel(T* out, const float* x, int64_t n) {
  const int64_t i = grid_thread() * kLanes;
  if (kPacked && i + kLanes <= n) store_lanes<kPacked>(out + i, load_lanes<kPacked>(x + i, kLanes), kLanes);
  else store_lanes<false>(out + i, load_lanes<false>(x + i, n - i), n - i);
}

}  // namespace

void CudaBackend::compute(const CastStorage& op) {
  const int64_t n = op.out.dim(0);
  if (n == 0) return;
  visit_device(op.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = op.out.as<T>();
    const float* x = op.x.as<float>();
    const auto kernel = packable<T>(0, out, x) ? cast_kernel<T, true> : cast_kernel<T, false>;
    LAUNCH(kernel, blocks_for(n, kThreads * kLanes), kThreads, 0, stream_, out, x, n);
  });
  launched("cast_storage");
}

}  // namespace selfrefine
