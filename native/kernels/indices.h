// Checks of the VALUES of index tensors: tokens, targets, rows, slots, segments, page tables. check() of an op looks at
// shapes alone, because a tensor may live on a device; a backend whose memory is host memory calls these before it
// computes, so that bad input from a user is an error and never a read outside of a tensor.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// Throws ERR_INVALID_ARGUMENT naming the first element of the i32 tensor that is not in [low, high).
void expect_in_range(const char* op, const char* field, const Tensor& indices, int64_t low, int64_t high);

/// Throws ERR_INVALID_ARGUMENT unless the i32 vector is strictly increasing, each element in [low, high).
void expect_increasing(const char* op, const char* field, const Tensor& indices, int64_t low, int64_t high);

/// Throws ERR_INVALID_ARGUMENT unless the (S, 4) i32 tensor is a segment list over `rows` rows, as attention/op.h says.
void expect_segments(const char* op, const Tensor& segments, int64_t rows);

/// Throws ERR_INVALID_ARGUMENT unless each row has 0 to max_pages * page_size keys and the pages that hold them exist.
void expect_pages(const char* op, const Tensor& page_table, const Tensor& lengths, int64_t pages, int64_t page_size);

}  // namespace selfrefine
