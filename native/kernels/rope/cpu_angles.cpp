// The table grows in steps, so that its size tells the highest position and no more, and starts anew for other
// frequencies. Angles are in double: a float of position 4096 has lost three digits of them.
#include "kernels/rope/cpu_angles.h"

#include <algorithm>
#include <cmath>

#include "kernels/indices.h"

namespace selfrefine {

namespace {

constexpr int64_t kStep = 1024;  // positions

}  // namespace

void RopeAngleTable::prepare(const Tensor& positions, const Tensor& inv_freq, bool working) {
  expect_in_range("rope", "positions", positions, 0, kRopeMaxPosition);
  const float* frequencies = inv_freq.as<float>();
  const int64_t half = inv_freq.dim(0);
  if (!std::equal(frequencies, frequencies + half, inv_freq_.begin(), inv_freq_.end())) {
    inv_freq_.assign(frequencies, frequencies + half);
    half_ = half;
    positions_ = 0;
  }
  const int32_t* begin = positions.as<int32_t>();
  const int32_t* end = begin + positions.dim(0);
  const int64_t needed = begin == end ? 0 : int64_t{*std::max_element(begin, end)} + 1;
  if (needed > positions_) extend((needed + kStep - 1) / kStep * kStep, working);
}

void RopeAngleTable::extend(int64_t positions, bool working) {
  const auto floats = static_cast<size_t>(positions * 2 * half_);
  rows_.reserve(floats);  // no more, as resize() might take
  if (!working) return;
  rows_.resize(floats);
  for (int64_t position = positions_; position < positions; ++position) {
    float* row = rows_.data() + position * 2 * half_;
    for (int64_t i = 0; i < half_; ++i) {
      const double angle = static_cast<double>(position) * inv_freq_[static_cast<size_t>(i)];
      row[i] = static_cast<float>(std::cos(angle));
      row[half_ + i] = static_cast<float>(std::sin(angle));
    }
  }
  positions_ = positions;
}

}  // namespace selfrefine
