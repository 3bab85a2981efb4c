// Sampling on the GPU, a block a row. What the filters keep is a threshold on the logits (cuda_select.cuh), so that
// nothing is written but the token: each pass reads the logits and makes the masses anew.
#include <algorithm>
#include <cfloat>

#include "cuda/cuda_backend.h"
#include "cuda/philox.cuh"
#include "kernels/sampling/cuda_select.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kWideThreads = 512, kNarrowThreads = 32;
constexpr int64_t kNarrowSize = 512;  // a warp is enough for so few tokens
constexpr int kSegments = 256;  // of a row, for its running sums
constexpr int64_t kSegmentUnit = 1024;

struct SampleTask {
  int32_t* tokens;
  float* logps;
  const float* logits;
  const int32_t* keys;    // (B, 3)
  uint64_t seed;
  int32_t* damaged_row;   // 1 + a row without a distribution; its token is not written
  int64_t size, segment;
  float inverse_temperature;
  bool is_greedy;
  int64_t top_k;
  float top_p, min_p;
};

/// The least of all threads' tokens.
template <int kThreads>
__device__ __forceinline__ int64_t block_min(int64_t token) {
  __shared__ int64_t parts[kThreads / kWarp];
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) token = min(token, __shfl_xor_sync(kFullMask, token, offset));
  __syncthreads();
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = token;
  __syncthreads();
  for (int i = 0; i < kThreads / kWarp; ++i) token = min(token, parts[i]);
  return token;
}

/// sums[s] = the weights of segment s, by a warp a segment. weight_of(token, logit).
template <int kThreads, typename WeightOf>
__device__ __forceinline__ void sum_segments(float (&sums)[kSegments], const float* logits, int64_t size,
                                             int64_t segment, const WeightOf& weight_of) {
  constexpr int kLoads = 4;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int s = static_cast<int>(threadIdx.x) / kWarp; s * segment < size; s += kThreads / kWarp) {
    const int64_t end = min(size, (s + 1) * segment);
    float sum = 0;
    for (int64_t first = s * segment + lane; first < end; first += kLoads * kWarp) {
      float values[kLoads];
#pragma unroll
      for (int k = 0; k < kLoads; ++k) values[k] = first + k * kWarp < end ? logits[first + k * kWarp] : 0.0f;
#pragma unroll
      for (int k = 0; k < kLoads; ++k) {
        if (first + k * kWarp < end) sum += weight_of(first + k * kWarp, values[k]);
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) sums[s] = sum;
  }
  __syncthreads();
}

/// The first token at which the running weight exceeds `share` of the whole (kAbsolute: exceeds `share`), by the whole
/// block; where rounding kept the sum below, the last token that has weight.
template <int kThreads, bool kAbsolute, typename WeightOf>
__device__ __forceinline__ int64_t locate(const float* logits, int64_t size, int64_t segment, double share,
                                          const WeightOf& weight_of) {
  __shared__ float sums[kSegments];
  __shared__ int64_t found;
  sum_segments<kThreads>(sums, logits, size, segment, weight_of);
  if (threadIdx.x < kWarp) {
    const int lane = static_cast<int>(threadIdx.x);
    double total = 0, running = 0;
    if (!kAbsolute) {
      for (int s = 0; s * segment < size; ++s) total += static_cast<double>(sums[s]);
    }
    const double wanted = kAbsolute ? share : share * total;
    int begin = 0;
    for (; (begin + 1) * segment < size; ++begin) {
      if (running + static_cast<double>(sums[begin]) > wanted) break;
      running += static_cast<double>(sums[begin]);
    }
    int64_t token = -1;
    for (int64_t first = begin * segment; first < size && token < 0; first += kWarp) {
      const int64_t own = first + lane;
      const float weight = own < size ? weight_of(own, logits[own]) : 0.0f;
      double sum = static_cast<double>(weight);
#pragma unroll
      for (int offset = 1; offset < kWarp; offset *= 2) {
        const double before = __shfl_up_sync(kFullMask, sum, offset);
        if (lane >= offset) sum += before;
      }
      const unsigned passed = __ballot_sync(kFullMask, weight > 0 && running + sum > wanted);
      if (passed != 0) token = first + __ffs(static_cast<int>(passed)) - 1;
      running += __shfl_sync(kFullMask, sum, kWarp - 1);
    }
    if (lane == 0) found = token;
  }
  __syncthreads();
  if (found >= 0) return found;
  int64_t last = INT64_MAX;  // negated: the greatest token is the least
  for (int64_t i = threadIdx.x; i < size; i += kThreads) {
    if (weight_of(i, logits[i]) > 0) last = -i;
  }
  return -block_min<kThreads>(last);
}

template <int kThreads, int kWidth>
__device__ __forceinline__ int64_t first_maximum(const SampleRow& row) {
  int64_t own = INT64_MAX;
  over_row<kThreads, kWidth>(row.logits, row.size, [&](int64_t first, const float (&logits)[kWidth]) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (logits[i] == row.highest) own = min(own, first + i);
    }
  });
  return block_min<kThreads>(own);
}

/// Narrows `kept` to the prefix that reaches `wanted`.
template <int kThreads, int kWidth, bool kByMass>
__device__ __forceinline__ void keep_prefix(Kept& kept, const SampleRow& row, const SampleTask& task, double wanted) {
  const Cut cut = find_cut<kThreads, kWidth, kByMass>(row, kept, wanted);
  if (cut.threshold < kept.threshold) return;
  int64_t last = cut.threshold == kept.threshold ? kept.last_equal : INT64_MAX;
  if (cut.equals > 0) {
    const auto is_equal = [&](int64_t token, float logit) {
      return order_of(logit) == cut.threshold && kept.has(cut.threshold, token) ? 1.0f : 0.0f;
    };
    last = locate<kThreads, true>(row.logits, row.size, task.segment, static_cast<double>(cut.equals) - 0.5, is_equal);
  }
  kept = {cut.threshold, last};
}

template <int kThreads, int kWidth>
__global__ void __launch_bounds__(kThreads, 1) sample_kernel(const __grid_constant__ SampleTask task) {
  const int64_t b = blockIdx.x;
  SampleRow row{task.logits + b * task.size, task.size, 0, task.inverse_temperature};
  const Softmax all = row_softmax<kThreads, kWidth>(row.logits, row.size);
  if (!(all.sum >= 0) || fabsf(all.highest) == INFINITY) {
    if (threadIdx.x == 0) *task.damaged_row = static_cast<int32_t>(b + 1);
    return;
  }
  row.highest = all.highest;
  int64_t token;
  if (task.is_greedy) {
    token = first_maximum<kThreads, kWidth>(row);
  } else {
    Kept kept;
    if (task.top_k > 0 && task.top_k < row.size) {
      keep_prefix<kThreads, kWidth, false>(kept, row, task, static_cast<double>(task.top_k));
    }
    if (task.top_p < 1) keep_prefix<kThreads, kWidth, true>(kept, row, task, static_cast<double>(task.top_p));
    const auto kept_mass = [&](int64_t i, float logit) {
      if (!kept.has(order_of(logit), i)) return 0.0f;
      const float mass = row.mass(logit);
      return mass < task.min_p ? 0.0f : mass;
    };
    const auto part = [&](int i) { return static_cast<uint32_t>(task.keys[3 * b + i]); };
    const uint2 seed = make_uint2(static_cast<uint32_t>(task.seed), static_cast<uint32_t>(task.seed >> 32));
    const double uniform = uniform_in_open(philox4x32(make_uint4(part(0), part(1), part(2), 0), seed).x);
    token = locate<kThreads, false>(row.logits, row.size, task.segment, uniform, kept_mass);
  }
  if (threadIdx.x != 0) return;
  task.tokens[b] = static_cast<int32_t>(token);
  const double logit = row.logits[token];
  task.logps[b] = static_cast<float>(logit - static_cast<double>(all.highest) - log(static_cast<double>(all.sum)));
}

}  // namespace

}  // namespace cuda

void CudaBackend::compute(const SampleTokens& op) {
  const int64_t rows = op.logits.dim(0), v = op.logits.dim(1);
  if (rows == 0) return;
  cuda::SampleTask task{};
  task.tokens = op.tokens.as<int32_t>();
  task.logps = op.logps.as<float>();
  task.logits = op.logits.as<float>();
  task.is_greedy = op.temperature == 0;
  task.keys = indices(Table::keys, op.keys);
  task.seed = op.seed;
  task.damaged_row = damaged_row();
  task.size = v;
  constexpr int64_t kUnits = cuda::kSegments * cuda::kSegmentUnit;
  task.segment = (v + kUnits - 1) / kUnits * cuda::kSegmentUnit;
  task.inverse_temperature = std::min(1.0f / op.temperature, FLT_MAX);  // 0 times infinity would be NaN
  task.top_k = op.top_k;
  task.top_p = op.top_p;
  task.min_p = op.min_p;
  const bool is_narrow = v <= cuda::kNarrowSize;
  const auto kernel = is_narrow                                ? cuda::sample_kernel<cuda::kNarrowThreads, 1>
                      : cuda::packable<float>(v, task.logits) ? cuda::sample_kernel<cuda::kWideThreads, 4>
                                                              : cuda::sample_kernel<cuda::kWideThreads, 1>;
  const int threads = is_narrow ? cuda::kNarrowThreads : cuda::kWideThreads;
  LAUNCH(kernel, static_cast<unsigned>(rows), threads, 0, stream_, task);
  launched("sample_tokens");
}

/// Where a sampling kernel names a row whose logits have no distribution; who waits next reports it.
int32_t* CudaBackend::damaged_row() {
  if (!damaged_row_) damaged_row_ = allocate_shared("sampling", sizeof(int32_t));
  return static_cast<int32_t*>(damaged_row_.get());
}

void CudaBackend::report_damaged_row() {
  const int32_t row = damaged_row_ ? *damaged_row() : 0;
  if (row == 0) return;  // not written then: a kernel behind a mark may be about to
  *damaged_row() = 0;
  fail(ErrorCode::invalid_argument, "sample_tokens: the logits of row ", row - 1,
       " hold NaN or have no finite maximum; the model's weights are damaged or its training diverged");
}

}  // namespace selfrefine
