// A view of dense row-major memory: pointer, type, shape. Owns nothing, has no strides and no operations.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/dtype.h"

namespace selfrefine {

struct Tensor {
  static constexpr int kMaxRank = 4;

  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};

  Tensor() = default;
  Tensor(void* memory, DType type, std::initializer_list<int64_t> dims);

  /// False for the default-constructed tensor, which stands for "not given" in op structs.
  explicit operator bool() const { return rank != 0; }

  int64_t dim(int i) const { return shape[static_cast<size_t>(i)]; }
  int64_t elements() const;
  int64_t bytes() const { return elements() * size_of(dtype); }

  template <typename T>
  T* as() const { return static_cast<T*>(data); }

  /// "(3, 64) float32", for messages.
  std::string describe() const;

  /// Rows [begin, end) of the first dimension.
  Tensor rows(int64_t begin, int64_t end) const;
  /// The same memory seen with another shape of as many elements.
  Tensor reshaped(std::initializer_list<int64_t> dims) const;
};

}  // namespace selfrefine
