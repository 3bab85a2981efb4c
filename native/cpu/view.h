// Access to the tensors of an op from kernel sources, which may not call the inline functions of core/ (see cpu/vec.h).
#pragma once

#include "core/tensor.h"
#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN

template <typename T>
SELFREFINE_INLINE T* data(const Tensor& tensor) { return static_cast<T*>(tensor.data); }

SELFREFINE_INLINE int64_t dim(const Tensor& tensor, int i) {
  return reinterpret_cast<const int64_t*>(&tensor.shape)[i];
}

SELFREFINE_INLINE bool given(const Tensor& tensor) { return tensor.rank != 0; }

/// Calls body(T{}) with the storage type of a real-valued tensor; check() has refused every other type.
template <typename Body>
SELFREFINE_INLINE void by_type(const Tensor& tensor, Body body) {
  if (tensor.dtype == DType::bf16) body(bf16{});
  else body(float{});
}

SELFREFINE_ISA_END
