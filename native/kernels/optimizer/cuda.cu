// AdamW and the sum of squares on the GPU: one pass over memory each, four neighbouring elements of a thread. AdamW's
// state is next used a step later, so it is loaded and stored past the caches (the .cs accesses).
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"

namespace selfrefine {

namespace {

using namespace cuda;

constexpr int kThreads = 256;
constexpr int kWidth = 4;

__device__ __forceinline__ float4 stream_in(const float* from) {
  return __ldcs(reinterpret_cast<const float4*>(from));
}
__device__ __forceinline__ void stream_out(float* to, float4 values) {
  __stcs(reinterpret_cast<float4*>(to), values);
}

/// One element of the state, updated in the order and with the roundings of the CPU's kernel.
__device__ __forceinline__ void adamw(const AdamWFactors& a, float gradient, float& master, float& exp_avg,
                                      float& exp_avg_sq) {
  const float g = gradient * a.gradient_scale;
  exp_avg = fmaf(a.rest1, g, exp_avg * a.beta1);
  exp_avg_sq = fmaf(a.rest2, g * g, exp_avg_sq * a.beta2);
  const float root = fmaf(sqrtf(exp_avg_sq), a.root_scale, a.eps);
  master = fmaf(-a.step_size, exp_avg / root, master * a.decay);
}

/// float32: the master, which is stored anyway, is the parameter.
__device__ __forceinline__ void round_to(float*, float4) {}
__device__ __forceinline__ void round_to(bfloat16* to, float4 p) {
  struct alignas(8) Four {
    __nv_bfloat162 low, high;
  };
  *reinterpret_cast<Four*>(to) = {__floats2bfloat162_rn(p.x, p.y), __floats2bfloat162_rn(p.z, p.w)};
}

template <typename T>
struct AdamWArrays {
  T* parameter;
  float *master, *exp_avg, *exp_avg_sq, *gradient;
};

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamWArrays<T> at, AdamWFactors factors, int64_t n) {
  const int64_t first = grid_thread() * kWidth;
  if (kPacked && first + kWidth <= n) {
    const float4 g = stream_in(at.gradient + first);
    float4 p = stream_in(at.master + first), m = stream_in(at.exp_avg + first), v = stream_in(at.exp_avg_sq + first);
    adamw(factors, g.x, p.x, m.x, v.x);
    adamw(factors, g.y, p.y, m.y, v.y);
    adamw(factors, g.z, p.z, m.z, v.z);
    adamw(factors, g.w, p.w, m.w, v.w);
    stream_out(at.master + first, p);
    stream_out(at.exp_avg + first, m);
    stream_out(at.exp_avg_sq + first, v);
    stream_out(at.gradient + first, make_float4(0, 0, 0, 0));
    round_to(at.parameter + first, p);
    return;
  }
  for (int64_t i = first; i < min(first + kWidth, n); ++i) {
    float p = at.master[i], m = at.exp_avg[i], v = at.exp_avg_sq[i];
    adamw(factors, at.gradient[i], p, m, v);
    at.master[i] = p;
    at.exp_avg[i] = m;
    at.exp_avg_sq[i] = v;
    at.gradient[i] = 0;
    at.parameter[i] = cuda::from_float<T>(p);
  }
}

// A block sums kBlock elements, a thread the same of them wherever x lies; then one block sums the sums.
constexpr int kBlock = 16384;
constexpr int kInFlight = 4;
constexpr int kFinalThreads = 1024;

__device__ __forceinline__ double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

template <int kBlockThreads>
__device__ __forceinline__ double block_sum_double(double value) {
  __shared__ double parts[kBlockThreads];
  parts[threadIdx.x] = value;
  __syncthreads();
#pragma unroll
  for (int half = kBlockThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  return parts[0];
}

template <bool kPacked>
__global__ void __launch_bounds__(kThreads) squares_kernel(double* sums, const float* x, int64_t n) {
  constexpr int kSteps = kBlock / (kThreads * kWidth);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x * kWidth;
  double parts[kWidth] = {};
  if (kPacked && (blockIdx.x + int64_t{1}) * kBlock <= n) {
    for (int step = 0; step < kSteps; step += kInFlight) {
      float4 values[kInFlight];
#pragma unroll
      for (int k = 0; k < kInFlight; ++k) values[k] = stream_in(x + first + (step + k) * (kThreads * kWidth));
#pragma unroll
      for (int k = 0; k < kInFlight; ++k) {
        parts[0] += square(values[k].x);
        parts[1] += square(values[k].y);
        parts[2] += square(values[k].z);
        parts[3] += square(values[k].w);
      }
    }
  } else {
    for (int step = 0; step < kSteps; ++step) {
      const int64_t i = first + step * (kThreads * kWidth);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        if (i + k < n) parts[k] += square(x[i + k]);
      }
    }
  }
  const double sum = block_sum_double<kThreads>((parts[0] + parts[1]) + (parts[2] + parts[3]));
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kFinalThreads) sum_kernel(double* out, const double* sums, int64_t count) {
  double sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < count; i += kFinalThreads) sum += sums[i];
  sum = block_sum_double<kFinalThreads>(sum);
  if (threadIdx.x == 0) *out = sum;
}

}  // namespace

void CudaBackend::compute(const SumOfSquares& op) {
  const int64_t n = op.x.dim(0), blocks = (n + kBlock - 1) / kBlock;
  const float* x = op.x.as<float>();
  double* sums = scratch_of<double>(Scratch::partials, blocks);
  if (blocks > 0) {
    const auto kernel = packable<float>(0, x) ? squares_kernel<true> : squares_kernel<false>;
    LAUNCH(kernel, static_cast<unsigned>(blocks), kThreads, 0, stream_, sums, x, n);
    launched("sum_of_squares");
  }
  LAUNCH(sum_kernel, 1, kFinalThreads, 0, stream_, op.out.as<double>(), sums, blocks);
  launched("sum_of_squares");
}

void CudaBackend::compute(const AdamWStep& op) {
  const int64_t n = op.parameter.dim(0);
  if (n == 0) return;
  visit_device(op.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    const AdamWArrays<T> at{op.parameter.as<T>(), op.master.as<float>(), op.exp_avg.as<float>(),
                            op.exp_avg_sq.as<float>(), op.gradient.as<float>()};
    const bool is_packed = packable<float>(0, at.master, at.exp_avg, at.exp_avg_sq, at.gradient) &&
                           reinterpret_cast<uintptr_t>(at.parameter) % (kWidth * sizeof(T)) == 0;
    const auto kernel = is_packed ? adamw_kernel<T, true> : adamw_kernel<T, false>;
    LAUNCH(kernel, blocks_for(n, kThreads * kWidth), kThreads, 0, stream_, at, op.factors(), n);
  });
  launched("adamw_step");
}

}  // namespace selfrefine
