// Views by copy; a copy that was not written to is never written back, so an old one cannot undo a training step.
#include "engine/host_views.h"

#include <algorithm>
#include <cstring>

#include "engine/blocks.h"

namespace selfrefine {

HostFloats HostViews::view(Backend& backend, const Arena& arena, const Tensor& all, int64_t offset, int64_t n) {
  if (backend.host_memory() && all.dtype == DType::f32) return {all.as<float>() + offset, arena.share()};
  Copy& copy = copies_[offset];
  if (!copy.values) copy.values = std::make_shared<std::vector<float>>(static_cast<size_t>(n));
  Blocks(backend).read(all.rows(offset, offset + n), [&](const float* floats, int64_t first, int64_t count) {
    std::copy_n(floats, count, copy.values->data() + first);
  });
  copy.known = *copy.values;
  return {copy.values->data(), copy.values};
}

void HostViews::write_back(Backend& backend, const Tensor& all) {
  for (auto& [offset, copy] : copies_) {
    const size_t bytes = copy.known.size() * sizeof(float);
    if (std::memcmp(copy.values->data(), copy.known.data(), bytes) == 0) continue;
    const float* values = copy.values->data();
    Blocks(backend).write(all.rows(offset, offset + std::ssize(copy.known)),
                          [&](float* floats, int64_t first, int64_t n) { std::copy_n(values + first, n, floats); });
    copy.known = *copy.values;
  }
}

}  // namespace selfrefine
