// Shape arithmetic of tensor views.
#include "core/tensor.h"

namespace selfrefine {

Tensor::Tensor(void* memory, DType type, std::initializer_list<int64_t> dims)
    : data(memory), dtype(type), rank(static_cast<int>(dims.size())) {
  if (rank < 1 || rank > kMaxRank) fail(ErrorCode::internal, "tensor of rank ", rank);
  int i = 0;
  for (const int64_t d : dims) {
    if (d < 0) fail(ErrorCode::shape, "tensor with negative dimension ", d);
    shape[static_cast<size_t>(i++)] = d;
  }
}

int64_t Tensor::elements() const {
  if (rank == 0) return 0;
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= dim(i);
  return n;
}

std::string Tensor::describe() const {
  if (rank == 0) return "absent";
  std::string text = "(";
  for (int i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(dim(i));
  return text + ") " + name_of(dtype);
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  if (begin < 0 || end < begin || end > dim(0)) {
    fail(ErrorCode::internal, "rows [", begin, ", ", end, ") of tensor ", describe());
  }
  Tensor view = *this;
  const int64_t row_bytes = dim(0) == 0 ? 0 : bytes() / dim(0);
  view.data = static_cast<char*>(data) + begin * row_bytes;
  view.shape[0] = end - begin;
  return view;
}

Tensor Tensor::reshaped(std::initializer_list<int64_t> dims) const {
  Tensor view(data, dtype, dims);
  if (view.elements() != elements()) fail(ErrorCode::internal, "reshape of ", describe(), " to ", view.describe());
  return view;
}

}  // namespace selfrefine
