// SwiGLU on the GPU: a thread takes eight columns of one row, and has read all of its inputs before it writes.
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"

namespace selfrefine {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

/// The fast division gives 0, as it should, where the exponential is beyond 2^126.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

/// The eight columns of a thread: element `in` of the first of them in a row of 2F, `out` in one of F.
struct Place {
  int64_t in, out, count;
};

__device__ __forceinline__ Place place_of(int64_t columns) {
  const int64_t groups = lane_groups(columns), row = quotient(grid_thread(), groups);
  const int64_t column = (grid_thread() - row * groups) * kLanes;
  return {row * 2 * columns + column, row * columns + column, columns - column};
}

template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    swiglu_forward_kernel(T* out, const T* gate_up, int64_t threads, int64_t columns) {
  if (grid_thread() >= threads) return;
  const Place place = place_of(columns);
  const Lanes gate = load_lanes<kPacked>(gate_up + place.in, place.count);
  const Lanes up = load_lanes<kPacked>(gate_up + place.in + columns, place.count);
  Lanes result;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) result[i] = gate[i] * sigmoid(gate[i]) * up[i];
  store_lanes<kPacked>(out + place.out, result, place.count);
}

/// With s = sigmoid(gate): d silu / d gate = s + gate s (1 - s).
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    swiglu_backward_kernel(T* dgate_up, const T* dout, const T* gate_up, int64_t threads, int64_t columns) {
  if (grid_thread() >= threads) return;
  const Place place = place_of(columns);
  const Lanes gate = load_lanes<kPacked>(gate_up + place.in, place.count);
  const Lanes up = load_lanes<kPacked>(gate_up + place.in + columns, place.count);
  const Lanes d = load_lanes<kPacked>(dout + place.out, place.count);
  Lanes dgate, dup;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    const float s = sigmoid(gate[i]), silu = gate[i] * s;
    dgate[i] = d[i] * up[i] * fmaf(silu, 1.0f - s, s);
    dup[i] = d[i] * silu;
  }
  store_lanes<kPacked>(dgate_up + place.in, dgate, place.count);
  store_lanes<kPacked>(dgate_up + place.in + columns, dup, place.count);
}

}  // namespace

void CudaBackend::compute(const SwigluForward& op) {
  const int64_t f = op.out.dim(1), threads = op.out.dim(0) * lane_groups(f);
  if (threads == 0) return;
  visit_device(op.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = op.out.as<T>();
    const T* gate_up = op.gate_up.as<T>();
    const auto kernel = lanes_packable<T>(f, out, gate_up) ? swiglu_forward_kernel<T, true>
                                                           : swiglu_forward_kernel<T, false>;
    LAUNCH(kernel, blocks_for(threads, kThreads), kThreads, 0, stream_, out, gate_up, threads, f);
  });
  launched("swiglu_forward");
}

void CudaBackend::compute(const SwigluBackward& op) {
  const int64_t f = op.dout.dim(1), threads = op.dout.dim(0) * lane_groups(f);
  if (threads == 0) return;
  visit_device(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* dgate_up = op.dgate_up.as<T>();
    const T *dout = op.dout.as<T>(), *gate_up = op.gate_up.as<T>();
    const auto kernel = lanes_packable<T>(f, dgate_up, dout, gate_up) ? swiglu_backward_kernel<T, true>
                                                                      : swiglu_backward_kernel<T, false>;
    LAUNCH(kernel, blocks_for(threads, kThreads), kThreads, 0, stream_, dgate_up, dout, gate_up, threads, f);
  });
  launched("swiglu_backward");
}

}  // namespace selfrefine
