// Memory of the model and the engine: one block per purpose, made at construction, never in a step. A Layout counts
// what a table of tensors needs, then places them. It does NOT know what the tensors are for.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "core/tensor.h"

namespace selfrefine {

/// One line of a memory() table.
struct MemoryRow {
  std::string arena;
  int64_t bytes = 0;
  bool shared = false;  // with host code: where a device has memory of its own, this is the host's
};

/// Who reaches the memory: ops alone (unless the backend's memory is host memory), or host code too.
enum class Reach { ops, host };

/// Zeroed memory of a backend. share() lets a view outlive the owner.
class Arena {
 public:
  Arena() = default;
  /// Throws ERR_OUT_OF_MEMORY naming the arena.
  Arena(const std::shared_ptr<Backend>& backend, const std::string& name, int64_t bytes, Reach reach = Reach::ops);

  void* data() const { return memory_.get(); }
  std::shared_ptr<void> share() const { return memory_; }
  MemoryRow row() const { return {name_, bytes_, shared_}; }

 private:
  std::string name_;
  int64_t bytes_ = 0;
  bool shared_ = false;
  std::shared_ptr<void> memory_;
};

/// Hands out aligned tensors one after the other. With no base it only counts.
class Layout {
 public:
  static constexpr int64_t kAlignment = 64;

  Layout(std::string name, void* base) : name_(std::move(name)), base_(static_cast<char*>(base)) {}

  /// Throws ERR_OUT_OF_MEMORY if the sum no longer fits in 63 bits.
  Tensor take(DType dtype, std::initializer_list<int64_t> shape);
  int64_t bytes() const { return bytes_; }

 private:
  std::string name_;
  char* base_ = nullptr;
  int64_t bytes_ = 0;
};

/// Calls build(Layout&) twice: to count the bytes, then to place the tensors in an arena of that size.
template <typename Build>
Arena build_arena(const std::shared_ptr<Backend>& backend, const std::string& name, Reach reach, Build&& build) {
  Layout counting(name, nullptr);
  build(counting);
  Arena arena(backend, name, counting.bytes(), reach);
  Layout placing(name, arena.data());
  build(placing);
  return arena;
}

/// The first n rows of a tensor, or nothing of nothing.
inline Tensor first_rows(const Tensor& tensor, int64_t n) { return tensor ? tensor.rows(0, n) : tensor; }

}  // namespace selfrefine
