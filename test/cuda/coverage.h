// Which of many runs to take so that every kernel is run: under a sanitizer all of them would take hours.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

/// One way to run one case.
struct Way {
  int compute;   // compute capability
  bool aligned;  // tensors at multiples of 16 bytes, or one element off
  auto operator<=>(const Way&) const = default;
};

class Coverage {
 public:
  /// The case `number` of `bytes` would start this kernel, with so many blocks.
  void add(size_t number, Way way, size_t bytes, const void* kernel, size_t blocks);
  /// Of each kernel, aligned or not, the smallest run, the largest, which has the most blocks and steps, and one
  /// between; where they are the same, one that is chosen for another kernel.
  std::set<std::pair<size_t, Way>> choose() const;

  size_t kernels() const;
  /// Those that no run starts with more than one block.
  size_t kernels_of_one_block() const;

 private:
  struct Run {
    size_t bytes, number;
    Way way;
    size_t blocks;
    auto operator<=>(const Run&) const = default;
  };
  std::map<std::pair<const void*, bool>, std::vector<Run>> runs_;
};
