// Preference losses on the GPU: a block a pair, a warp a sequence. All scalars in double, and the log-probs of a
// sequence added one after the other, as the reference does: the sums are equal to its bit for bit, so that a policy
// that equals its reference has ratio 0 exactly whoever computed the sums of the reference.
#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"
#include "kernels/indices.h"

namespace selfrefine {

namespace cuda {

namespace {

struct PreferenceTask {
  float* dlogps;
  float* losses;
  float* sequence_logps;
  const float* logps;
  const int32_t* ends;
  const float* reference_logps;
  int64_t pair_begin;
  PreferenceKind kind;
  bool means;
  double beta, eps, pair_weight, nll_weight;
};

struct LossAndSlope {
  double loss, slope;  // slope = d loss / d d
};

__device__ double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

/// log(sigmoid(x)) without overflow: the exponent is never positive.
__device__ double log_sigmoid(double x) { return fmin(x, 0.0) - log1p(exp(-fabs(x))); }

__device__ LossAndSlope loss_of(const PreferenceTask& task, double d) {
  const double beta = task.beta, eps = task.eps, z = beta * d;
  switch (task.kind) {
    case PreferenceKind::sigmoid:
      return {-(1 - eps) * log_sigmoid(z) - eps * log_sigmoid(-z),
              beta * (eps * sigmoid(z) - (1 - eps) * sigmoid(-z))};
    case PreferenceKind::robust:
      return {(-(1 - eps) * log_sigmoid(z) + eps * log_sigmoid(-z)) / (1 - 2 * eps),
              -beta * ((1 - eps) * sigmoid(-z) + eps * sigmoid(z)) / (1 - 2 * eps)};
    case PreferenceKind::hinge:
      return {fmax(0.0, 1 - z), z < 1 ? -beta : 0.0};
    case PreferenceKind::ipo: {
      const double off = d - 1 / (2 * beta);
      return {off * off, 2 * off};
    }
  }
  return {};
}

/// The sum in order, given to all lanes: they load together and add the same numbers.
__device__ double sum_in_order(const float* values, int64_t begin, int64_t end) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double sum = 0;
  for (int64_t first = begin; first < end; first += kWarp) {
    const float own = first + lane < end ? values[first + lane] : 0.0f;
    const int count = static_cast<int>(min(end - first, int64_t{kWarp}));
    if (count == kWarp) {
#pragma unroll
      for (int i = 0; i < kWarp; ++i) sum += static_cast<double>(__shfl_sync(kFullMask, own, i));
    } else {
      for (int i = 0; i < count; ++i) sum += static_cast<double>(__shfl_sync(kFullMask, own, i));
    }
  }
  return sum;
}

/// Two warps: the chosen and the rejected sequence of a pair.
__global__ void __launch_bounds__(2 * kWarp) preference_kernel(const __grid_constant__ PreferenceTask task) {
  __shared__ double ratios[2];
  const int64_t pair = task.pair_begin + blockIdx.x;
  const int side = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t s = 2 * pair + side, begin = s == 0 ? 0 : task.ends[s - 1], end = task.ends[s];
  const float total = static_cast<float>(sum_in_order(task.logps, begin, end));
  const double divisor = task.means ? static_cast<double>(end - begin) : 1;
  if (lane == 0) {
    task.sequence_logps[s] = total;
    ratios[side] = (static_cast<double>(total) - static_cast<double>(task.reference_logps[s])) / divisor;
  }
  __syncthreads();
  const LossAndSlope result = loss_of(task, ratios[0] - ratios[1]);
  if (threadIdx.x == 0) task.losses[pair] = static_cast<float>(result.loss);
  const double weighted = task.pair_weight * result.slope / divisor;
  const float dlogp = static_cast<float>(side == 0 ? weighted - task.nll_weight : -weighted);
  for (int64_t m = begin + lane; m < end; m += kWarp) task.dlogps[m] = dlogp;
}

}  // namespace

}  // namespace cuda

void CudaBackend::compute(const PreferenceLoss& op) {
  // A sequence has at least one token, so the first end is at least 1.
  expect_increasing("preference_loss", "sequence_ends", op.sequence_ends, 1, op.logps.dim(0) + 1);
  const int kind = static_cast<int>(op.kind);
  if (op.pair_begin == op.pair_end) return;
  if (kind < 0 || kind > static_cast<int>(PreferenceKind::ipo)) {
    fail(ErrorCode::invalid_argument, "preference_loss: kind is ", kind, ", expected 0 to 3");
  }
  const cuda::PreferenceTask task{
      op.dlogps.as<float>(), op.losses.as<float>(), op.sequence_logps.as<float>(), op.logps.as<float>(),
      upload(Table::sequences, op.sequence_ends.as<int32_t>(), op.sequence_ends.elements()),
      op.reference_logps.as<float>(), op.pair_begin, op.kind,
      op.length_normalize || op.kind == PreferenceKind::ipo, op.beta, op.label_smoothing, op.pair_weight,
      op.nll_weight};
  const auto pairs = static_cast<unsigned>(op.pair_end - op.pair_begin);
  LAUNCH(cuda::preference_kernel, pairs, 2 * cuda::kWarp, 0, stream_, task);
  launched("preference_loss");
}

}  // namespace selfrefine
