// What the files of planted errors share: who is to find an error, and memory for kernels to err in.
#pragma once

#include <cstdlib>
#include <vector>

/// The last two: ThreadSanitizer finds the race, and without it the simulation or the value tells.
enum class Finder { nothing, simulation, value, address, behaviour, race, race_or_simulation, race_or_value };

struct Planted {
  const char* name;
  Finder finder;
  bool (*run)();  // false: a value is wrong
};

/// Errors in the use of Hopper's instructions.
const std::vector<Planted>& hopper_planted();
/// Errors in the use of clusters, and the one kernel that uses them.
const std::vector<Planted>& cluster_planted();
/// Errors in recorded work.
const std::vector<Planted>& graph_planted();
/// Errors in waiting for streams.
const std::vector<Planted>& stream_planted();

/// Values on the heap, so that AddressSanitizer knows where they end.
template <typename T>
struct Values {
  explicit Values(size_t count) : data(static_cast<T*>(std::aligned_alloc(16, (count * sizeof(T) + 15) / 16 * 16))) {
    for (size_t i = 0; i < count; ++i) data[i] = static_cast<T>(i);
  }
  ~Values() { std::free(data); }
  T* data;
};
