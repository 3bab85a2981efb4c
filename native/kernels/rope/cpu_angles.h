// Cosines and sines of the rotary embedding by position, computed once: the library functions cost more than the turn.
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/rope/cpu_kernels.h"
#include "kernels/rope/op.h"

namespace selfrefine {

class RopeAngleTable {
 public:
  /// Makes of() valid for these positions. Throws ERR_INVALID_ARGUMENT on a negative position and on one above
  /// kRopeMaxPosition, which no model has.
  /// Without `working` it only takes the room for them.
  void prepare(const Tensor& positions, const Tensor& inv_freq, bool working);

  RopeAngles of(int64_t position) const {
    const float* row = rows_.data() + position * 2 * half_;
    return {row, row + half_};
  }

  int64_t bytes() const { return static_cast<int64_t>(rows_.capacity() * sizeof(float)); }

 private:
  void extend(int64_t positions, bool working);

  std::vector<float> inv_freq_;
  std::vector<float> rows_;  // (positions, 2, half): cosines, sines
  int64_t half_ = 0, positions_ = 0;
};

}  // namespace selfrefine
