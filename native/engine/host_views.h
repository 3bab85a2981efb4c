// Parts of arenas as floats for callers that want to look at them and change them: the memory itself where it is floats
// in host memory, else copies that are renewed on demand and written back where they were changed.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "model/arena.h"

namespace selfrefine {

struct HostFloats {
  float* data = nullptr;
  std::shared_ptr<void> owner;
};

class HostViews {
 public:
  /// Elements [offset, offset + n) of an arena that `all` is.
  HostFloats view(Backend& backend, const Arena& arena, const Tensor& all, int64_t offset, int64_t n);
  /// Copies to the arena what was changed in copies since they were last renewed.
  void write_back(Backend& backend, const Tensor& all);

 private:
  struct Copy {
    std::shared_ptr<std::vector<float>> values;
    std::vector<float> known;  // what the arena held when it was last looked at
  };
  std::map<int64_t, Copy> copies_;  // by offset
};

}  // namespace selfrefine
