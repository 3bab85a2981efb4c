// The wording of shape errors.
#include "kernels/check.h"

namespace selfrefine {

namespace {

std::string wanted(std::initializer_list<int64_t> shape, DType dtype) {
  std::string text = "(";
  const char* separator = "";
  for (const int64_t d : shape) {
    text += separator + std::to_string(d);
    separator = ", ";
  }
  return text + ") " + name_of(dtype);
}

bool matches(const Tensor& tensor, std::initializer_list<int64_t> shape, DType dtype) {
  if (tensor.dtype != dtype || tensor.rank != static_cast<int>(shape.size())) return false;
  int i = 0;
  for (const int64_t d : shape) {
    if (tensor.dim(i++) != d) return false;
  }
  return true;
}

}  // namespace

void expect(const char* op, const char* field, const Tensor& tensor, std::initializer_list<int64_t> shape,
            DType dtype) {
  if (!matches(tensor, shape, dtype)) {
    fail(ErrorCode::shape, op, ": ", field, " is ", tensor.describe(), ", expected ", wanted(shape, dtype));
  }
  if (tensor.data == nullptr && tensor.elements() > 0) {
    fail(ErrorCode::invalid_argument, op, ": ", field, " has no memory");
  }
}

void expect_optional(const char* op, const char* field, const Tensor& tensor, std::initializer_list<int64_t> shape,
                     DType dtype) {
  if (tensor) expect(op, field, tensor, shape, dtype);
}

void expect_real(const char* op, const char* field, const Tensor& tensor, int rank) {
  const bool real = tensor.dtype == DType::f32 || tensor.dtype == DType::bf16;
  if (tensor.rank != rank || !real) {
    fail(ErrorCode::shape, op, ": ", field, " is ", tensor.describe(), ", expected rank ", rank,
         " of float32 or bfloat16");
  }
}

void expect_that(const char* op, bool ok, const char* text) {
  if (!ok) fail(ErrorCode::invalid_argument, op, ": ", text);
}

}  // namespace selfrefine
