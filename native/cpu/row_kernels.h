// What an instruction set provides for single rows, shared by the loss head, sampling and all sums over blocks of rows.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace selfrefine {

/// With d = x - highest: sums of exp(d), of exp(d) d, where what is 0 adds nothing, and of x.
struct ExpSums {
  double exps, moments, values;
};

struct RowKernels {
  /// The greatest element; unspecified if there is a NaN.
  float (*highest)(const float* x, int64_t size);
  /// Sum of exp(x - highest); NaN if there is a NaN.
  double (*exp_sum)(const float* x, int64_t size, float highest);
  /// out = exp((x - highest) * factor), returning the sum. out may be x.
  double (*exps)(float* out, const float* x, int64_t size, float highest, float factor);
  /// As exps with factor 1, whose bits `out` and the first sum have.
  ExpSums (*exps_and_sums)(float* out, const float* x, int64_t size, float highest);
  double (*sum)(const float* x, int64_t size);
  /// Number of x >= threshold; sum of the weights of those; weights of the others = 0.
  double (*count_from)(const float* x, int64_t size, float threshold);
  double (*weight_from)(const float* weights, const float* x, int64_t size, float threshold);
  void (*cut_below)(float* weights, const float* x, int64_t size, float threshold);
  /// out = x * factor, in the type given. out may be x, whose start it then overwrites.
  void (*scale)(void* out, DType dtype, const float* x, int64_t size, float factor);
  /// to[i] += from[i] + from[stride + i] + ... over `count` blocks, in this order.
  void (*add_blocks)(float* to, const float* from, int64_t stride, int64_t count, int64_t size);
  /// sums = column sums of `rows` rows of `size` elements.
  void (*column_sums)(float* sums, const void* x, DType dtype, int64_t rows, int64_t size);
};

}  // namespace selfrefine
