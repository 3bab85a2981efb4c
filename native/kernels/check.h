// Shape and type checks shared by all ops: one wording for every message, "op: field is got, expected wanted".
#pragma once

#include <initializer_list>

#include "core/tensor.h"

namespace selfrefine {

/// Throws ERR_SHAPE unless `tensor` has exactly this shape and type.
void expect(const char* op, const char* field, const Tensor& tensor, std::initializer_list<int64_t> shape, DType dtype);

/// As expect(), for a tensor that may be absent.
void expect_optional(const char* op, const char* field, const Tensor& tensor, std::initializer_list<int64_t> shape,
                     DType dtype);

/// Throws ERR_SHAPE unless `tensor` has this rank and a real storage type (float32 or bfloat16).
void expect_real(const char* op, const char* field, const Tensor& tensor, int rank);

/// Throws ERR_INVALID_ARGUMENT with the given text unless `ok`.
void expect_that(const char* op, bool ok, const char* text);

}  // namespace selfrefine
