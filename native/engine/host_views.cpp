// Views by copy; a copy that was not written to is never written back, so an old one cannot undo a training step.
#include "engine/host_views.h"

#include <cstring>

namespace selfrefine {

HostFloats HostViews::view(Backend& backend, const Arena& arena, int64_t offset, int64_t n) {
  float* const memory = static_cast<float*>(arena.data()) + offset;
  if (backend.host_memory()) return {memory, arena.share()};
  Copy& copy = copies_[offset];
  if (!copy.values) copy.values = std::make_shared<std::vector<float>>(static_cast<size_t>(n));
  backend.copy(copy.values->data(), memory, static_cast<size_t>(n) * sizeof(float));
  copy.known = *copy.values;
  return {copy.values->data(), copy.values};
}

void HostViews::write_back(Backend& backend, const Arena& arena) {
  for (auto& [offset, copy] : copies_) {
    const size_t bytes = copy.known.size() * sizeof(float);
    if (std::memcmp(copy.values->data(), copy.known.data(), bytes) == 0) continue;
    backend.copy(static_cast<float*>(arena.data()) + offset, copy.values->data(), bytes);
    copy.known = *copy.values;
  }
}

}  // namespace selfrefine
