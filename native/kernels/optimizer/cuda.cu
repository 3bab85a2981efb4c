// AdamW and the sum of squares on the GPU: one pass over memory each, four neighbouring elements of a thread. AdamW's
// state is next used a step later, so it is loaded and stored past the caches (the .cs accesses).
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"
#include "cuda/philox.cuh"

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

// ---- without a master: everything in T, rounded stochastically ------------------------------------------------------

template <typename T>
struct StochasticArrays {
  T *parameter, *exp_avg, *exp_avg_sq;
  float* gradient;
};

/// What the random bits of a step belong to.
struct RoundingKey {
  uint2 seed;
  uint32_t step;
  int64_t first;  // number of element 0
};

/// Two words of random bits of an element; core/rounding.h says which number gets which bits.
struct Random {
  uint32_t word0, word1;
};

__device__ __forceinline__ float round_stochastic(float x, uint32_t, float) { return x; }
__device__ __forceinline__ bfloat16 round_stochastic(float x, uint32_t noise, bfloat16) {
  const uint32_t bits = __float_as_uint(x);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return __ushort_as_bfloat16(static_cast<unsigned short>((is_nan ? bits | 0x400000u : bits + noise) >> 16));
}

/// Four neighbouring values of T, one access.
template <typename T>
struct alignas(kWidth * sizeof(T)) Quad {
  T values[kWidth];
};

template <typename T>
__device__ __forceinline__ Quad<T> stream_quad_in(const T* from) {
  Quad<T> quad;
  if constexpr (sizeof(T) == sizeof(float)) {
    const float4 words = stream_in(from);
    memcpy(&quad, &words, sizeof quad);
  } else {
    const uint2 words = __ldcs(reinterpret_cast<const uint2*>(from));
    memcpy(&quad, &words, sizeof quad);
  }
  return quad;
}

template <typename T>
__device__ __forceinline__ void stream_quad_out(T* to, const Quad<T>& quad) {
  if constexpr (sizeof(T) == sizeof(float)) {
    float4 words;
    memcpy(&words, &quad, sizeof quad);
    stream_out(to, words);
  } else {
    uint2 words;
    memcpy(&words, &quad, sizeof quad);
    __stcs(reinterpret_cast<uint2*>(to), words);
  }
}

template <typename T>
__device__ __forceinline__ void adamw_stochastic(const AdamWFactors& factors, float gradient, Random random,
                                                 T& parameter, T& exp_avg, T& exp_avg_sq) {
  float p = cuda::to_float(parameter), m = cuda::to_float(exp_avg), v = cuda::to_float(exp_avg_sq);
  adamw(factors, gradient, p, m, v);
  parameter = round_stochastic(p, random.word0 & 0xffffu, T{});
  exp_avg = round_stochastic(m, random.word0 >> 16, T{});
  exp_avg_sq = round_stochastic(v, random.word1 & 0xffffu, T{});
}

template <typename T>
__device__ __forceinline__ void step_quad(const StochasticArrays<T>& at, const AdamWFactors& factors, int64_t i,
                                          const Random (&random)[kWidth]) {
  const Quad<float> g = stream_quad_in(at.gradient + i);
  Quad<T> p = stream_quad_in(at.parameter + i), m = stream_quad_in(at.exp_avg + i);
  Quad<T> v = stream_quad_in(at.exp_avg_sq + i);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    adamw_stochastic(factors, g.values[k], random[k], p.values[k], m.values[k], v.values[k]);
  }
  stream_quad_out(at.parameter + i, p);
  stream_quad_out(at.exp_avg + i, m);
  stream_quad_out(at.exp_avg_sq + i, v);
  stream_out(at.gradient + i, make_float4(0, 0, 0, 0));
}

/// A thread has kWidth blocks of random bits, so kWidth neighbouring elements and those half a group further.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads) adamw_stochastic_kernel(StochasticArrays<T> at, AdamWFactors factors,
                                                                    RoundingKey key, int64_t n) {
  constexpr int kHalf = AdamWStochasticStep::kGroup / 2, kPerHalf = kHalf / kWidth;
  const int64_t thread = grid_thread();
  const int64_t i = thread / kPerHalf * (2 * kHalf) + thread % kPerHalf * kWidth;
  const uint64_t block = static_cast<uint64_t>(key.first / 2 + thread * kWidth);
  Random random[2][kWidth];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    const uint4 bits = philox4x32(make_uint4(static_cast<uint32_t>(block) + k, static_cast<uint32_t>(block >> 32),
                                             key.step, 1), key.seed);
    random[0][k] = {bits.x, bits.y};
    random[1][k] = {bits.z, bits.w};
  }
  if (kPacked && i + kHalf + kWidth <= n) {
    step_quad(at, factors, i, random[0]);
    step_quad(at, factors, i + kHalf, random[1]);
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const int64_t j = i + half * kHalf + k;
      if (j >= n) continue;
      adamw_stochastic(factors, at.gradient[j], random[half][k], at.parameter[j], at.exp_avg[j], at.exp_avg_sq[j]);
      at.gradient[j] = 0;
    }
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

void CudaBackend::compute(const AdamWStochasticStep& op) {
  const int64_t n = op.parameter.dim(0);
  if (n == 0) return;
  const RoundingKey key{make_uint2(static_cast<uint32_t>(op.seed), static_cast<uint32_t>(op.seed >> 32)),
                        static_cast<uint32_t>(op.step), op.first};
  const int64_t groups = (n + AdamWStochasticStep::kGroup - 1) / AdamWStochasticStep::kGroup;
  const int64_t threads = groups * (AdamWStochasticStep::kGroup / (2 * kWidth));
  visit_device(op.parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    const StochasticArrays<T> at{op.parameter.as<T>(), op.exp_avg.as<T>(), op.exp_avg_sq.as<T>(),
                                 op.gradient.as<float>()};
    const uintptr_t addresses = reinterpret_cast<uintptr_t>(at.parameter) | reinterpret_cast<uintptr_t>(at.exp_avg) |
                                reinterpret_cast<uintptr_t>(at.exp_avg_sq);
    const bool is_packed = packable<float>(0, at.gradient) && addresses % sizeof(Quad<T>) == 0;
    const auto kernel = is_packed ? adamw_stochastic_kernel<T, true> : adamw_stochastic_kernel<T, false>;
    LAUNCH(kernel, blocks_for(threads, kThreads), kThreads, 0, stream_, at, op.factors(), key, n);
  });
  launched("adamw_stochastic_step");
}

}  // namespace selfrefine
