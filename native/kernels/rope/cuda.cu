// Rotary embedding on the GPU: a thread turns the same eight pairs of several heads of a row, so that it computes their
// angles once. The angle is a product in double, as a float of position 4096 has lost three of its digits; once it is
// reduced to an eighth of a turn, float serves.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

using namespace cuda;

constexpr int kThreads = 128;
constexpr int kHeads = 2;  // of a thread, in flight at once

struct RopeShape {
  int64_t threads;
  int64_t row_size;
  int head_size, heads, heads_per_thread, slices;  // slices: threads that share the heads of a row
  float sign;
};

/// Cosine and sine of an angle of any size, good to 1.5 units of 2^-24. Polynomials as of Cephes' sinf and cosf.
__device__ __forceinline__ void cosine_sine(double angle, float& cosine, float& sine) {
  const double quarters = rint(angle * 0.63661977236758134308);                           // 2 / pi
  const float r = static_cast<float>(fma(quarters, -1.57079632679489661923, angle));  // in [-pi / 4, pi / 4]
  const float square = r * r;
  float s = fmaf(square, -1.9515295891e-4f, 8.3321608736e-3f);
  s = fmaf(square, s, -1.6666654611e-1f);
  s = fmaf(s * square, r, r);
  float c = fmaf(square, 2.443315711809948e-5f, -1.388731625493765e-3f);
  c = fmaf(square, c, 4.166664568298827e-2f);
  c = fmaf(c * square, square, fmaf(square, -0.5f, 1.0f));
  const int quadrant = static_cast<int>(static_cast<int64_t>(quarters) & 3);
  const float swapped_c = quadrant & 1 ? s : c, swapped_s = quadrant & 1 ? c : s;
  cosine = quadrant == 1 || quadrant == 2 ? -swapped_c : swapped_c;
  sine = quadrant & 2 ? -swapped_s : swapped_s;
}

__device__ __forceinline__ void turn(float& a, float& b, float cosine, float sine) {
  const float turned = fmaf(-b, sine, a * cosine);
  b = fmaf(a, sine, b * cosine);
  a = turned;
}

/// first and second hold the pairs (first[i], second[i]), or, interleaved, the pairs of neighbours of one after the
/// other.
template <bool kInterleaved>
__device__ __forceinline__ void turn_pairs(Lanes& first, Lanes& second, const Lanes& cosines, const Lanes& sines) {
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    if constexpr (kInterleaved) {
      Lanes& pairs = i < kLanes / 2 ? first : second;
      const int at = 2 * i % kLanes;
      turn(pairs[at], pairs[at + 1], cosines[i], sines[i]);
    } else {
      turn(first[i], second[i], cosines[i], sines[i]);
    }
  }
}

/// Thread (row, slice of heads, group of eight pairs).
template <typename T, bool kInterleaved, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    rope_kernel(T* qkv, const int32_t* positions, const float* inv_freq, RopeShape shape) {
  if (grid_thread() >= shape.threads) return;
  const int64_t half = shape.head_size / 2, groups = lane_groups(half);
  const int64_t row_slice = quotient(grid_thread(), groups), row = quotient(row_slice, shape.slices);
  const int64_t pair = (grid_thread() - row_slice * groups) * kLanes, count = half - pair;
  const int begin = static_cast<int>(row_slice - row * shape.slices) * shape.heads_per_thread;
  const int end = min(begin + shape.heads_per_thread, shape.heads);

  const double position = positions[row];
  const Lanes frequencies = load_lanes<kPacked>(inv_freq + pair, count);
  Lanes cosines, sines;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    cosine_sine(position * static_cast<double>(frequencies[i]), cosines[i], sines[i]);
    sines[i] *= shape.sign;
  }

  // The two groups of elements of the first head, the distance between them, and how much of each there is.
  T* at = qkv + row * shape.row_size + begin * shape.head_size + (kInterleaved ? 2 * pair : pair);
  const int apart = kInterleaved ? kLanes : static_cast<int>(half);
  const int pairs = static_cast<int>(min(count, int64_t{kLanes}));
  const int first_count = kPacked ? kLanes : kInterleaved ? 2 * pairs : pairs;
  const int second_count = kInterleaved && !kPacked ? first_count - kLanes : first_count;
  for (int left = end - begin; left > 0; left -= kHeads, at += kHeads * shape.head_size) {
    Lanes first[kHeads], second[kHeads];
#pragma unroll
    for (int k = 0; k < kHeads; ++k) {
      if (k >= left) continue;
      first[k] = load_lanes<kPacked>(at + k * shape.head_size, first_count);
      second[k] = load_lanes<kPacked>(at + k * shape.head_size + apart, second_count);
    }
#pragma unroll
    for (int k = 0; k < kHeads; ++k) {
      if (k >= left) continue;
      turn_pairs<kInterleaved>(first[k], second[k], cosines, sines);
      store_lanes<kPacked>(at + k * shape.head_size, first[k], first_count);
      store_lanes<kPacked>(at + k * shape.head_size + apart, second[k], second_count);
    }
  }
}

template <typename T>
auto kernel_for(bool interleaved, bool is_packed) {
  if (interleaved) return is_packed ? rope_kernel<T, true, true> : rope_kernel<T, true, false>;
  return is_packed ? rope_kernel<T, false, true> : rope_kernel<T, false, false>;
}

}  // namespace

void CudaBackend::rotate(const Tensor& qkv, const Tensor& positions, const Tensor& inv_freq, int heads,
                         bool interleaved, float sign) {
  if (!on_device(positions)) expect_in_range("rope", "positions", positions, 0, kRopeMaxPosition);
  const int64_t rows = qkv.dim(0), head_size = qkv.dim(2), half = head_size / 2;
  // Few rows: a thread for every two heads. Many: just enough threads to fill the GPU, each with more heads.
  const int64_t row_threads = rows * lane_groups(half), full = int64_t{properties_.multiProcessorCount} * 2048;
  const int64_t wanted = (row_threads * heads / full + kHeads - 1) / kHeads * kHeads;
  const int heads_per_thread = static_cast<int>(std::clamp<int64_t>(wanted, kHeads, std::max(heads, kHeads)));
  const int slices = (heads + heads_per_thread - 1) / heads_per_thread;
  const RopeShape shape{row_threads * slices, qkv.dim(1) * head_size, static_cast<int>(head_size), heads,
                        heads_per_thread,     slices,                 sign};
  if (shape.threads == 0) return;
  const int32_t* device_positions = indices(Table::positions, positions);
  const float* frequencies = inv_freq.as<float>();
  visit_device(qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* data = qkv.as<T>();
    const bool is_packed = lanes_packable<T>(half, data) && packable<float>(half, frequencies);
    LAUNCH(kernel_for<T>(interleaved, is_packed), blocks_for(shape.threads, kThreads), kThreads, 0, stream_, data,
           device_positions, frequencies, shape);
  });
  launched("rope");
}

void CudaBackend::compute(const RopeForward& op) {
  rotate(op.qkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, 1.0f);
}

void CudaBackend::compute(const RopeBackward& op) {
  rotate(op.dqkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, -1.0f);
}

}  // namespace selfrefine
