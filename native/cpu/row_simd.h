// Sums, exponentials and scalings of single rows. Sums of long rows run in float over kBlock elements and in double
// above, so that their error does not grow with the vocabulary; the order of terms is fixed.
#pragma once

#include "cpu/row_kernels.h"
#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN
namespace row {

constexpr int64_t kBlock = 1024;

float highest(const float* x, int64_t size) {
  Vec top = broadcast(-__builtin_inff());
  for_lanes(size, [&](int64_t i, int lanes) {
    top = max(select(first_n(lanes), load_n(x + i, lanes), broadcast(-__builtin_inff())), top);
  });
  return reduce_max(top);
}

/// Sum over blocks of the sums that term(i, lanes) adds up: a Vec whose lanes above `lanes` are 0.
template <typename Term>
SELFREFINE_INLINE double blocked_sum(int64_t size, Term term) {
  double total = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    Vec sum = zero();
    for_lanes(min_of(kBlock, size - begin), [&](int64_t i, int lanes) { sum += term(begin + i, lanes); });
    total += static_cast<double>(reduce_add(sum));
  }
  return total;
}

double exp_sum(const float* x, int64_t size, float highest) {
  return blocked_sum(size, [&](int64_t i, int lanes) {
    return select(first_n(lanes), exp(load_n(x + i, lanes) - broadcast(highest)), zero());
  });
}

double exps(float* out, const float* x, int64_t size, float highest, float factor) {
  return blocked_sum(size, [&](int64_t i, int lanes) {
    const Vec e = exp((load_n(x + i, lanes) - broadcast(highest)) * broadcast(factor));
    store_n(out + i, e, lanes);
    return select(first_n(lanes), e, zero());
  });
}

ExpSums exps_and_sums(float* out, const float* x, int64_t size, float highest) {
  ExpSums total = {0, 0, 0};
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    Vec exps = zero(), moments = zero(), values = zero();
    for_lanes(min_of(kBlock, size - begin), [&](int64_t i, int lanes) {
      const Vec value = load_n(x + begin + i, lanes), below = value - broadcast(highest), e = exp(below);
      store_n(out + begin + i, e, lanes);
      const Vec kept = select(first_n(lanes), e, zero());
      exps += kept;
      moments = fma(kept, max(broadcast(-104.0f), below), moments);  // the exponential below is 0: no 0 * -infinity
      values += value;
    });
    total.exps += static_cast<double>(reduce_add(exps));
    total.moments += static_cast<double>(reduce_add(moments));
    total.values += static_cast<double>(reduce_add(values));
  }
  return total;
}

double sum(const float* x, int64_t size) {
  return blocked_sum(size, [&](int64_t i, int lanes) { return load_n(x + i, lanes); });
}

double count_from(const float* x, int64_t size, float threshold) {
  return blocked_sum(size, [&](int64_t i, int lanes) {
    const Vec below = select(load_n(x + i, lanes) < broadcast(threshold), zero(), broadcast(1.0f));
    return select(first_n(lanes), below, zero());
  });
}

double weight_from(const float* weights, const float* x, int64_t size, float threshold) {
  return blocked_sum(size, [&](int64_t i, int lanes) {
    return select(load_n(x + i, lanes) < broadcast(threshold), zero(), load_n(weights + i, lanes));
  });
}

void cut_below(float* weights, const float* x, int64_t size, float threshold) {
  for_lanes(size, [&](int64_t i, int lanes) {
    const Vec kept = select(load_n(x + i, lanes) < broadcast(threshold), zero(), load_n(weights + i, lanes));
    store_n(weights + i, kept, lanes);
  });
}

template <typename T>
SELFREFINE_INLINE void scale_to(T* out, const float* x, int64_t size, float factor) {
  for_lanes(size, [&](int64_t i, int lanes) { store_n(out + i, load_n(x + i, lanes) * broadcast(factor), lanes); });
}

void scale(void* out, DType dtype, const float* x, int64_t size, float factor) {
  if (dtype == DType::bf16) scale_to(static_cast<bf16*>(out), x, size, factor);
  else scale_to(static_cast<float*>(out), x, size, factor);
}

void add_blocks(float* to, const float* from, int64_t stride, int64_t count, int64_t size) {
  for_lanes(size, [&](int64_t i, int lanes) {
    Vec total = load_n(from + i, lanes);
    for (int64_t block = 1; block < count; ++block) total += load_n(from + block * stride + i, lanes);
    store_n(to + i, load_n(to + i, lanes) + total, lanes);
  });
}

template <typename T>
SELFREFINE_INLINE void add_columns(float* sums, const T* x, int64_t rows, int64_t size) {
  for_lanes(size, [&](int64_t i, int lanes) {
    Vec total = zero();
    for (int64_t n = 0; n < rows; ++n) total += load_n(x + n * size + i, lanes);
    store_n(sums + i, total, lanes);
  });
}

void column_sums(float* sums, const void* x, DType dtype, int64_t rows, int64_t size) {
  if (dtype == DType::bf16) add_columns(sums, static_cast<const bf16*>(x), rows, size);
  else add_columns(sums, static_cast<const float*>(x), rows, size);
}

constexpr RowKernels table{highest,     exp_sum,   exps,  exps_and_sums, sum,        count_from,
                           weight_from, cut_below, scale, add_blocks,    column_sums};

}  // namespace row
SELFREFINE_ISA_END
