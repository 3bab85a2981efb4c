// Clusters: a sum over one, with one error planted at a time, and the loss head's pass over rows of every length that
// is shared out in another way, against the formula in double.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cuda/cluster.cuh"
#include "kernels/lm_head/cuda_cluster.cuh"
#include "planted.h"

using namespace selfrefine;
using namespace selfrefine::cuda;

namespace {

constexpr int kBlocks = 4, kThreads = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Flaw {
  none, not_started, missing_arrival, missing_wait, extra_arrival, ends_between, ended, wrong_rank, outside, unordered
};

/// out[rank] = the sum over the cluster of 1 + rank, each block telling all others its own.
template <Flaw kFlaw>
__global__ void sum_over_cluster(float* out) {
  DYN_SMEM(float, slots);
  const unsigned rank = cluster_rank();
  if (kFlaw != Flaw::not_started) {
    cluster_arrive();
    cluster_wait();
  }
  if (threadIdx.x < kBlocks) {
    const unsigned to = kFlaw == Flaw::wrong_rank ? threadIdx.x + 1 : threadIdx.x;
    cluster_store(slots + rank + (kFlaw == Flaw::outside ? 2 : 0), to, 1.0f + static_cast<float>(rank));
  }
  if (kFlaw != Flaw::missing_arrival || threadIdx.x > 0 || rank > 0) {
    if (kFlaw != Flaw::unordered) cluster_arrive();
    if (kFlaw == Flaw::extra_arrival) cluster_arrive();
    if (kFlaw == Flaw::ends_between && rank == 1) return;
    if (kFlaw != Flaw::missing_wait && kFlaw != Flaw::unordered) cluster_wait();
  }
  if (kFlaw == Flaw::unordered) __syncthreads();
  if (kFlaw == Flaw::missing_wait) cluster_arrive();
  float sum = 0;
  for (int i = 0; i < kBlocks; ++i) sum += slots[i];
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
  if (kFlaw == Flaw::ended && threadIdx.x == 0) cluster_store(slots + kBlocks, (rank + 1) % kBlocks, 0.0f);
  if (kFlaw == Flaw::unordered) {
    cluster_arrive();
    cluster_wait();
  }
}

template <Flaw kFlaw>
bool sums() {
  Values<float> out(2 * kBlocks);
  const size_t bytes = (kBlocks + 1) * sizeof(float);
  LAUNCH_CLUSTERS(sum_over_cluster<kFlaw>, kBlocks, 2 * kBlocks, kThreads, bytes, nullptr, out.data);
  return std::all_of(out.data, out.data + 2 * kBlocks, [](float sum) { return sum == 10.0f; });
}

bool launches(unsigned cluster, unsigned grid) {
  Values<float> out(grid);
  const size_t bytes = (kBlocks + 1) * sizeof(float);
  LAUNCH_CLUSTERS(sum_over_cluster<Flaw::none>, cluster, grid, kThreads, bytes, nullptr, out.data);
  return true;
}

// ---- the loss head's rows

enum class Kind { plain, all_low, some_low, last_alone, nan, high };

float logit(Kind kind, int64_t row, int64_t i, int64_t v) {
  const auto plain = static_cast<float>((i * 37 + row * 11) % 101) * 0.1f - 3;
  const float low = -std::numeric_limits<float>::infinity();
  switch (kind) {
    case Kind::all_low: return low;
    case Kind::some_low: return i % 3 == 0 ? low : plain;
    case Kind::last_alone: return i == v - 1 ? plain : low;
    case Kind::nan: return i == v / 2 ? NAN : plain;
    case Kind::high: return i == v - 1 ? -low : plain;
    default: return plain;
  }
}

bool is_near(double got, double wanted, double relative) {
  if (std::isnan(wanted)) return std::isnan(got);
  return got == wanted || std::abs(got - wanted) <= 1e-6 + relative * std::abs(wanted);
}

/// What a pass gives; the gradient takes the place of the logits if it is float.
template <typename T>
struct Pass {
  Values<float> logits, logps, metrics;
  Values<T> narrow;
  Values<int32_t> targets;

  Pass(Kind kind, int64_t rows, int64_t first, int64_t v, bool gradient)
      : logits(rows * v), logps(rows), metrics(rows * kHeadMetrics), narrow(rows * v), targets(rows) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < v; ++i) logits.data[r * v + i] = logit(kind, first + r, i, v);
      targets.data[r] = static_cast<int32_t>((first + r) % 2 == 0 ? 0 : v - 1);
    }
    T* to = gradient ? dlogits() : nullptr;
    pass_over_rows<T>(logps.data, metrics.data, to, logits.data, targets.data, rows, v, nullptr);
  }
  T* dlogits() {
    if constexpr (sizeof(T) == sizeof(float)) return logits.data;
    else return narrow.data;
  }
};

/// Those of row r, whose logits have this maximum and this sum of exp(logit - maximum).
template <typename T>
bool has_right_metrics(const Pass<T>& pass, Kind kind, int64_t r, int64_t v, double highest, double sum) {
  double entropy = 0, total = 0;
  for (int64_t i = 0; i < v; ++i) {
    const double below = logit(kind, r, i, v) - highest, p = std::exp(below) / sum;
    if (p != 0) entropy -= p * (below - std::log(sum));
    total += logit(kind, r, i, v);
  }
  const bool is_correct = logit(kind, r, pass.targets.data[r], v) >= highest && !std::isnan(sum);
  const float* metrics = pass.metrics.data + r * kHeadMetrics;
  return is_near(metrics[kEntropy], entropy, 1e-5) && metrics[kIsCorrect] == (is_correct ? 1.0f : 0.0f) &&
         is_near(metrics[kMeanLogit], total / static_cast<double>(v), 1e-5);
}

template <typename T>
bool is_right(Pass<T>& pass, Kind kind, int64_t rows, int64_t v) {
  const double rounding = sizeof(T) == sizeof(float) ? 1e-5 : 4e-3;
  for (int64_t r = 0; r < rows; ++r) {
    double highest = -kInfinity, sum = 0;
    for (int64_t i = 0; i < v; ++i) highest = std::max(highest, static_cast<double>(logit(kind, r, i, v)));
    for (int64_t i = 0; i < v; ++i) sum += std::exp(logit(kind, r, i, v) - highest);
    const int64_t target = pass.targets.data[r];
    if (!is_near(pass.logps.data[r], logit(kind, r, target, v) - highest - std::log(sum), 1e-6)) return false;
    if (!has_right_metrics(pass, kind, r, v, highest, sum)) return false;
    for (int64_t i = 0; i < v; ++i) {
      const double p = std::exp(logit(kind, r, i, v) - highest) / sum;
      const double wanted = (i == target ? 1.0 : 0.0) - p;
      if (!is_near(static_cast<float>(pass.dlogits()[r * v + i]), wanted, rounding)) return false;
    }
  }
  return true;
}

/// Right, and bit for bit the same without the gradient and without the other rows.
template <typename T>
bool is_right_and_same(Kind kind, int64_t v) {
  constexpr int64_t kRows = 2;
  constexpr size_t kRowBytes = kHeadMetrics * sizeof(float);
  Pass<T> both(kind, kRows, 0, v, true), logps(kind, kRows, 0, v, false), second(kind, 1, 1, v, true);
  const auto same = [](const void* a, const void* b, size_t bytes) { return std::memcmp(a, b, bytes) == 0; };
  return is_right(both, kind, kRows, v) && same(both.metrics.data, logps.metrics.data, kRows * kRowBytes) &&
         same(both.metrics.data + kHeadMetrics, second.metrics.data, kRowBytes) &&
         same(both.logps.data, logps.logps.data, kRows * sizeof(float)) &&
         same(both.logps.data + 1, second.logps.data, sizeof(float)) &&
         same(both.dlogits() + v, second.dlogits(), static_cast<size_t>(v) * sizeof(T));
}

bool head_rows(Kind kind, std::initializer_list<int64_t> lengths) {
  return std::all_of(lengths.begin(), lengths.end(), [&](int64_t v) {
    return is_right_and_same<float>(kind, v) && is_right_and_same<bfloat16>(kind, v);
  });
}

bool damaged_rows(int64_t v) {
  const auto kinds = {Kind::all_low, Kind::some_low, Kind::last_alone, Kind::nan, Kind::high};
  return std::all_of(kinds.begin(), kinds.end(), [&](Kind kind) { return head_rows(kind, {v}); });
}

bool is_left_alone() {
  const int64_t most = int64_t{kMostCluster} * kClusterThreads * 64;
  return plan_row<float, 4>(most).kernel != nullptr && plan_row<float, 4>(most + 1).kernel == nullptr;
}

}  // namespace

const std::vector<Planted>& cluster_planted() {
  static const std::vector<Planted> all = {
      {"a sum over a cluster", Finder::nothing, sums<Flaw::none>},
      {"a peer that may not have started", Finder::simulation, sums<Flaw::not_started>},
      {"a cluster's barrier at which a thread is missing", Finder::race, sums<Flaw::missing_arrival>},
      {"a cluster's barrier that is not waited for", Finder::simulation, sums<Flaw::missing_wait>},
      {"a cluster's barrier with two arrivals", Finder::simulation, sums<Flaw::extra_arrival>},
      {"a thread that ends before it waits for its cluster", Finder::simulation, sums<Flaw::ends_between>},
      {"a write to a block that has ended", Finder::simulation, sums<Flaw::ended>},
      {"a write to a block that does not exist", Finder::simulation, sums<Flaw::wrong_rank>},
      {"a write beyond another block's memory", Finder::simulation, sums<Flaw::outside>},
      {"a write to another block that no barrier orders", Finder::race, sums<Flaw::unordered>},
      {"a grid that is no whole number of clusters", Finder::simulation, [] { return launches(8, 12); }},
      {"a cluster of more blocks than there may be", Finder::simulation, [] { return launches(16, 16); }},
      {"rows in one block", Finder::nothing, [] { return head_rows(Kind::plain, {1, 2, 33, 2048, 16383, 16384}); }},
      {"rows in two and four blocks", Finder::nothing,
       [] { return head_rows(Kind::plain, {16385, 32000, 32769, 50257, 65536}); }},
      {"rows in eight blocks", Finder::nothing, [] { return head_rows(Kind::plain, {65537, 128256, 131072}); }},
      {"rows in eight blocks with more in each thread", Finder::nothing,
       [] { return head_rows(Kind::plain, {131073, 151936, 163843, 262144}); }},
      {"damaged rows in one block", Finder::nothing, [] { return damaged_rows(1000); }},
      {"damaged rows in two blocks", Finder::nothing, [] { return damaged_rows(20001); }},
      {"rows too long for a cluster", Finder::nothing, is_left_alone},
  };
  return all;
}
