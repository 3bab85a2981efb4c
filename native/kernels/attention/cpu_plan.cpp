// Building the cut of a batch.
#include "kernels/attention/cpu_plan.h"

#include <algorithm>

namespace selfrefine {

namespace {

void cut(std::vector<AttentionTile>& tiles, int64_t segment, int64_t begin, int64_t end, int64_t size) {
  for (int64_t row = begin; row < end; row += size) tiles.push_back({segment, row, std::min(row + size, end)});
}

int64_t count(const std::vector<AttentionTile>& tiles) { return static_cast<int64_t>(tiles.size()); }

}  // namespace

void AttentionPlan::build(const Tensor& table, int64_t query_tile) {
  segments.clear();
  query_tiles.clear();
  key_tiles.clear();
  groups.clear();
  group_of_key_tile.clear();
  const int32_t* rows = table.as<int32_t>();
  for (int64_t s = 0; s < table.dim(0); ++s, rows += 4) {
    AttentionSegment segment{count(key_tiles), 0, count(query_tiles), 0, 0, 0};
    cut(key_tiles, s, rows[0], rows[1], kKeyTile);
    cut(query_tiles, s, rows[0], rows[1], query_tile);
    segment.key_tiles_end = count(key_tiles);
    segment.query_tiles_end = count(query_tiles);
    if (rows[3] > rows[2]) {  // the prefix is the whole segment that began the group
      segment.prefix_tiles_begin = groups.back().key_tiles_begin;
      segment.prefix_tiles_end = segment.prefix_tiles_begin + (rows[3] - rows[2] + kKeyTile - 1) / kKeyTile;
    } else {
      groups.push_back({segment.key_tiles_begin, 0, segment.query_tiles_begin, 0});
    }
    groups.back().key_tiles_end = segment.key_tiles_end;
    groups.back().query_tiles_end = segment.query_tiles_end;
    segments.push_back(segment);
    group_of_key_tile.resize(key_tiles.size(), static_cast<int64_t>(groups.size()) - 1);
  }
}

int64_t AttentionPlan::largest_group() const {
  int64_t largest = 0;
  for (const AttentionGroup& group : groups) largest = std::max(largest, group.key_tiles_end - group.key_tiles_begin);
  return largest;
}

bool AttentionPlan::groups_balance(int64_t heads, int64_t threads) const {
  double total = 0, longest = 0;
  for (const AttentionGroup& group : groups) {
    const double work = static_cast<double>(group.key_tiles_end - group.key_tiles_begin) *
                        static_cast<double>(group.query_tiles_end - group.query_tiles_begin);
    total += work * static_cast<double>(heads);
    longest = std::max(longest, work);
  }
  const double share = total / static_cast<double>(threads);
  return 5 * (share + longest) <= 7 * share || threads == 1;
}

}  // namespace selfrefine
