// Times the loops of peak_kernels.h on every thread of a pool.
#include "cpu/peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/error.h"

namespace selfrefine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Long enough that reading the clock does not show, short enough to stop on time.
constexpr int64_t kRounds = 20000;
constexpr int64_t kPieceFloats = int64_t{1} << 16;

}  // namespace

double PeakMeter::flops(double (*kernel)(int64_t, float*), double seconds) {
  // Every thread runs its one task to the same deadline, so that none is counted while it idles.
  std::vector<double> done(static_cast<size_t>(pool_.threads()), 0.0);
  std::vector<float> sinks(done.size());
  const Clock::time_point begin = Clock::now();
  pool_.parallel_for(pool_.threads(), [&](int64_t task, int) {
    const size_t i = static_cast<size_t>(task);
    do done[i] += kernel(kRounds, &sinks[i]);
    while (seconds_since(begin) < seconds);
  });
  const double elapsed = seconds_since(begin);
  double total = 0;
  for (const double operations : done) total += operations;
  return total / elapsed;
}

double PeakMeter::fma_flops(double seconds) { return flops(kernels_.peak.fma, seconds); }

double PeakMeter::bf16_flops(double seconds) {
  return flops(kernels_.peak.dot_pairs != nullptr ? kernels_.peak.dot_pairs : kernels_.peak.fma, seconds);
}

double PeakMeter::read_bandwidth(int64_t bytes) {
  if (bytes <= 0) fail(ErrorCode::invalid_argument, "read_bandwidth of ", bytes, " bytes");
  memory_.reserve(bytes, "measuring memory");
  const int64_t floats = bytes / 4;
  const Clock::time_point begin = Clock::now();
  pool_.parallel_for((floats + kPieceFloats - 1) / kPieceFloats, [&](int64_t task, int) {
    float sink;
    const int64_t at = task * kPieceFloats;
    kernels_.peak.read(memory_.as<float>() + at, std::min(kPieceFloats, floats - at), &sink);
  });
  return static_cast<double>(floats * 4) / seconds_since(begin);
}

double PeakMeter::copy_bandwidth(int64_t bytes) {
  if (bytes <= 0) fail(ErrorCode::invalid_argument, "copy_bandwidth of ", bytes, " bytes");
  memory_.reserve(2 * bytes, "measuring memory");
  const int64_t floats = bytes / 4;
  float* to = memory_.as<float>() + floats;
  const Clock::time_point begin = Clock::now();
  pool_.parallel_for((floats + kPieceFloats - 1) / kPieceFloats, [&](int64_t task, int) {
    const int64_t at = task * kPieceFloats;
    kernels_.peak.copy(memory_.as<float>() + at, to + at, std::min(kPieceFloats, floats - at));
  });
  return static_cast<double>(2 * floats * 4) / seconds_since(begin);
}

}  // namespace selfrefine
