// Rotary embedding by the formula; sine and cosine of the angle in double.
#include <cmath>

#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::load;
using reference::store;

namespace {

struct Rotation {
  const Tensor& qkv;
  const Tensor& positions;
  const Tensor& inv_freq;
  int64_t rotated_heads;
  bool interleaved;
  double direction;
};

template <typename T>
void rotate_head(T* head, const Rotation& rotation, int64_t row) {
  const int64_t half = rotation.inv_freq.dim(0);
  for (int64_t i = 0; i < half; ++i) {
    const double angle = rotation.direction * rotation.positions.as<int32_t>()[row] * rotation.inv_freq.as<float>()[i];
    const double cosine = std::cos(angle), sine = std::sin(angle);
    T& first = head[rotation.interleaved ? 2 * i : i];
    T& second = head[rotation.interleaved ? 2 * i + 1 : i + half];
    const double a = load(first), b = load(second);
    first = store<T>(a * cosine - b * sine);
    second = store<T>(b * cosine + a * sine);
  }
}

void rotate(const Rotation& rotation) {
  const int64_t n = rotation.qkv.dim(0), g = rotation.qkv.dim(1), d = rotation.qkv.dim(2);
  visit_real(rotation.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t head = 0; head < rotation.rotated_heads; ++head) {
        rotate_head(rotation.qkv.as<T>() + (row * g + head) * d, rotation, row);
      }
    }
  });
}

}  // namespace

void ReferenceBackend::compute(const RopeForward& op) {
  rotate({op.qkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, 1});
}

void ReferenceBackend::compute(const RopeBackward& op) {
  rotate({op.dqkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, -1});
}

}  // namespace selfrefine
