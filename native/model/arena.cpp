// Arenas and the arithmetic of their size: a sum that overflows is memory nobody has, not a small number.
#include "model/arena.h"

namespace selfrefine {

Arena::Arena(const std::shared_ptr<Backend>& backend, const std::string& name, int64_t bytes, Reach reach)
    : name_(name), bytes_(bytes), shared_(reach == Reach::host),
      memory_(reach == Reach::host ? backend->allocate_shared(name_.c_str(), static_cast<size_t>(bytes))
                                   : backend->allocate(name_.c_str(), static_cast<size_t>(bytes))) {}

Tensor Layout::take(DType dtype, std::initializer_list<int64_t> shape) {
  int64_t size = size_of(dtype);
  bool overflow = false;
  for (const int64_t d : shape) overflow |= __builtin_mul_overflow(size, d, &size);
  const int64_t begin = bytes_;
  overflow |= __builtin_add_overflow(bytes_, size, &bytes_);
  overflow |= __builtin_add_overflow(bytes_, kAlignment - 1, &bytes_);
  bytes_ -= bytes_ % kAlignment;
  if (overflow) {
    fail(ErrorCode::out_of_memory, name_, ": more than 2^63 bytes wanted; use a smaller micro-batch, model or cache");
  }
  return Tensor(base_ == nullptr ? nullptr : base_ + begin, dtype, shape);
}

}  // namespace selfrefine
