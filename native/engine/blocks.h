// Flat tensors of an arena seen from host code, a block at a time: in place where the backend's memory is host memory,
// else through a shared block. As they are stored, or as floats. Knows nothing of what the numbers are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend.h"

namespace selfrefine {

class Blocks {
 public:
  static constexpr int64_t kFloats = int64_t{1} << 20;  // a multiple of 4, as the random numbers of fresh weights want

  explicit Blocks(Backend& backend) : backend_(backend) {}

  /// Calls use(block, first, n) for elements [first, first + n) of a rank 1 tensor as they are stored, one block after
  /// the other.
  template <typename Use>
  void read_stored(const Tensor& tensor, Use&& use) {
    for_blocks(tensor, [&](const Tensor& block, int64_t first) { use(stored(block), first, block.dim(0)); });
  }

  /// Calls fill(block, first, n) for the same; the elements become what it writes there.
  template <typename Fill>
  void write_stored(const Tensor& tensor, Fill&& fill) {
    for_blocks(tensor, [&](const Tensor& block, int64_t first) {
      fill(place(block), first, block.dim(0));
      store(block);
    });
  }

  /// The same as floats, of a tensor of float32 or bfloat16.
  template <typename Use>
  void read(const Tensor& tensor, Use&& use) {
    for_blocks(tensor, [&](const Tensor& block, int64_t first) {
      const void* values = stored(block);
      if (block.dtype == DType::f32) return use(static_cast<const float*>(values), first, block.dim(0));
      for (int64_t i = 0; i < block.dim(0); ++i) floats()[i] = to_float(static_cast<const bf16*>(values)[i]);
      use(static_cast<const float*>(floats()), first, block.dim(0));
    });
  }

  /// The same as floats, which are rounded to the tensor's type.
  template <typename Fill>
  void write(const Tensor& tensor, Fill&& fill) {
    for_blocks(tensor, [&](const Tensor& block, int64_t first) {
      void* values = place(block);
      if (block.dtype == DType::f32) {
        fill(static_cast<float*>(values), first, block.dim(0));
      } else {
        fill(floats(), first, block.dim(0));
        for (int64_t i = 0; i < block.dim(0); ++i) static_cast<bf16*>(values)[i] = from_float<bf16>(floats()[i]);
      }
      store(block);
    });
  }

 private:
  template <typename Use>
  void for_blocks(const Tensor& tensor, Use&& use) {
    for (int64_t first = 0; first < tensor.dim(0); first += kFloats) {
      use(tensor.rows(first, std::min(first + kFloats, tensor.dim(0))), first);
    }
  }

  /// Host memory with what the block holds.
  const void* stored(const Tensor& block) {
    if (backend_.host_memory()) return block.data;
    backend_.copy(staging(), block.data, static_cast<size_t>(block.bytes()));
    return staging();
  }

  /// Host memory for what it is to hold, and the way from there to the block.
  void* place(const Tensor& block) { return backend_.host_memory() ? block.data : staging(); }
  void store(const Tensor& block) {
    if (!backend_.host_memory()) backend_.copy(block.data, staging(), static_cast<size_t>(block.bytes()));
  }

  float* floats() {
    floats_.resize(static_cast<size_t>(kFloats));
    return floats_.data();
  }

  void* staging() {
    if (!staging_) staging_ = backend_.allocate_shared("staging", static_cast<size_t>(kFloats) * sizeof(float));
    return staging_.get();
  }

  Backend& backend_;
  std::shared_ptr<void> staging_;
  std::vector<float> floats_;
};

}  // namespace selfrefine
