// How a packed batch is cut for the GPU: one entry a tile, with the rows that it meets. Kernels find all they need of
// the segments here. The cut is made by the host at each call and is the same for all layers of a pass, so that its
// upload costs a comparison. Longest tiles come first: blocks start in this order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace selfrefine::cuda {

struct alignas(16) WorkTile {
  int32_t begin, end;                // its rows
  int32_t prefix_begin, prefix_end;  // query tile: keys of the shared prefix; empty for a key tile
  int32_t own_begin, own_end;        // query tile: keys of its own segment; key tile: queries
  int32_t unused[2];
};

/// The window, or 0 where it is wider than all positions and so hides nothing.
inline int narrow_window(const Tensor& positions, int window) {
  const int64_t rows = positions.dim(0);
  if (window == 0 || rows == 0) return 0;
  const auto* first = positions.as<int32_t>();
  const auto [low, high] = std::minmax_element(first, first + rows);
  return int64_t{*high} - *low < window ? 0 : window;
}

/// Rows of a tile, for each kernel that walks over tiles.
struct TileSizes {
  int forward = 64, backward_queries = 64, backward_keys = 64;
};

class AttentionCut {
 public:
  /// `segments` and `positions` have been checked and can be read by the host.
  AttentionCut(const Tensor& segments, const Tensor& positions, int window, TileSizes sizes)
      : segments_(segments.as<Segment>()), count_(segments.dim(0)), positions_(positions.as<int32_t>()) {
    window_ = narrow_window(positions, window);
    if (window_ > 0) find_consecutive();
    forward_ = cut_queries(sizes.forward);
    backward_queries_ = cut_queries(sizes.backward_queries);
    backward_keys_ = cut_keys(sizes.backward_keys);
  }

  const std::vector<WorkTile>& tiles() const { return tiles_; }
  /// Of these, in this order.
  int64_t forward() const { return forward_; }
  int64_t backward_queries() const { return backward_queries_; }
  int64_t backward_keys() const { return backward_keys_; }
  /// See narrow_window().
  int window() const { return window_; }

 private:
  struct Segment {
    int32_t begin, end, prefix_begin, prefix_end;
  };

  void find_consecutive() {
    for (int64_t s = 0; s < count_; ++s) {
      for (int32_t row = segments_[s].begin + 1; row < segments_[s].end; ++row) {
        consecutive_ &= int64_t{positions_[row]} == int64_t{positions_[row - 1]} + 1;
      }
    }
  }

  /// The first of the keys [begin, end) that a window reaches whose earliest query has this position.
  int32_t reach(int32_t begin, int32_t end, int64_t position) const {
    if (window_ == 0 || !consecutive_ || begin == end) return begin;
    const int64_t hidden = position - window_ + 1 - positions_[begin];
    return static_cast<int32_t>(begin + std::clamp<int64_t>(hidden, 0, end - begin));
  }

  /// The end of the queries, rows of segment `own` and those that share it, that see a key as far as `position`.
  int32_t reached(int64_t own, int64_t last, int64_t position) const {
    if (window_ == 0 || !consecutive_) return segments_[last].end;
    for (int64_t s = last; s > own; --s) {
      const Segment& segment = segments_[s];
      const int64_t seen = position + window_ - positions_[segment.begin];
      if (seen > 0) return static_cast<int32_t>(segment.begin + std::min<int64_t>(seen, segment.end - segment.begin));
    }
    const int64_t seen = position + window_ - positions_[segments_[own].begin];
    return static_cast<int32_t>(std::min<int64_t>(segments_[own].begin + seen, segments_[own].end));
  }

  int64_t cut_queries(int size) {
    const size_t first = tiles_.size();
    for (int64_t s = 0; s < count_; ++s) {
      const Segment& at = segments_[s];
      for (int32_t row = at.begin; row < at.end; row += size) {
        const int32_t end = std::min(row + size, at.end);
        const int64_t position = positions_[row];
        tiles_.push_back({row, end, reach(at.prefix_begin, at.prefix_end, position), at.prefix_end,
                          reach(at.begin, row, position), end, {}});
      }
    }
    return longest_first(first);
  }

  int64_t cut_keys(int size) {
    const size_t first = tiles_.size();
    for (int64_t s = 0; s < count_; ++s) {
      int64_t last = s;  // of the segments that share this one
      if (segments_[s].prefix_end == 0) {
        while (last + 1 < count_ && segments_[last + 1].prefix_end != 0) ++last;
      }
      for (int32_t row = segments_[s].begin; row < segments_[s].end; row += size) {
        const int32_t end = std::min(row + size, segments_[s].end);
        tiles_.push_back({row, end, 0, 0, row, reached(s, last, positions_[end - 1]), {}});
      }
    }
    return longest_first(first);
  }

  int64_t longest_first(size_t first) {
    const auto length = [](const WorkTile& tile) {
      return int64_t{tile.prefix_end} - tile.prefix_begin + tile.own_end - tile.own_begin;
    };
    const auto begin = tiles_.begin() + static_cast<std::ptrdiff_t>(first);
    std::stable_sort(begin, tiles_.end(), [&](const WorkTile& a, const WorkTile& b) { return length(a) > length(b); });
    return static_cast<int64_t>(tiles_.size() - first);
  }

  const Segment* segments_;
  int64_t count_;
  const int32_t* positions_;
  int window_ = 0;
  bool consecutive_ = true;  // within each segment, positions grow by one
  std::vector<WorkTile> tiles_;
  int64_t forward_ = 0, backward_queries_ = 0, backward_keys_ = 0;
};

}  // namespace selfrefine::cuda
