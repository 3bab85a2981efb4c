// How a packed batch is cut into query tiles, key tiles and groups that do not see each other.
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/attention/cpu_kernels.h"

namespace selfrefine {

/// Memory is kept between batches.
struct AttentionPlan {
  std::vector<AttentionSegment> segments;
  std::vector<AttentionTile> query_tiles, key_tiles;
  std::vector<AttentionGroup> groups;
  std::vector<int64_t> group_of_key_tile;

  /// `table` is an (S, 4) i32 segment list that has been checked; query_tile the rows of a query tile.
  void build(const Tensor& table, int64_t query_tile);

  /// Key tiles of the largest group.
  int64_t largest_group() const;

  /// Whether one task per group and head keeps `threads` threads busy enough to beat the two passes, which have many
  /// small tasks but compute the scores twice: seven products of tiles instead of five.
  bool groups_balance(int64_t heads, int64_t threads) const;
};

}  // namespace selfrefine
