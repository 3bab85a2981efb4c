// The choice of runs, deterministic for a file of cases.
#include "coverage.h"

#include <algorithm>

void Coverage::add(size_t number, Way way, size_t bytes, const void* kernel, size_t blocks) {
  runs_[{kernel, way.aligned}].push_back({bytes, number, way, blocks});
}

std::set<std::pair<size_t, Way>> Coverage::choose() const {
  constexpr size_t kParts = 3;
  std::set<std::pair<size_t, Way>> chosen;
  const auto is_chosen = [&](const Run& run) { return chosen.contains({run.number, run.way}); };
  for (const auto& [kernel, unsorted] : runs_) {
    std::vector<Run> runs = unsorted;
    std::ranges::sort(runs);
    for (size_t part = 0; part < kParts; ++part) {
      const auto begin = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() * part / kParts);
      const auto end = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() * (part + 1) / kParts);
      const bool is_last = part + 1 == kParts;
      if (begin == end || std::any_of(is_last ? end - 1 : begin, end, is_chosen)) continue;
      const Run& run = is_last ? *(end - 1) : *begin;
      chosen.insert({run.number, run.way});
    }
  }
  return chosen;
}

size_t Coverage::kernels() const {
  std::set<const void*> all;
  for (const auto& [kernel, runs] : runs_) all.insert(kernel.first);
  return all.size();
}

size_t Coverage::kernels_of_one_block() const {
  std::map<const void*, size_t> most;
  for (const auto& [kernel, runs] : runs_) {
    for (const Run& run : runs) most[kernel.first] = std::max(most[kernel.first], run.blocks);
  }
  return static_cast<size_t>(std::ranges::count_if(most, [](const auto& one) { return one.second == 1; }));
}
