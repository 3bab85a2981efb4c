// The pieces of blocked attention: copies of row tiles, products of small tiles, exponentials.
// Lanes are queries: scores stand as (key, query), so that the softmax of a query needs no sum across lanes.
#pragma once

#include "cpu/view.h"
#include "kernels/attention/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace attention {

constexpr int kVectors = 2;                     // vectors of a query tile
constexpr int kQueries = kVectors * kWidth;     // rows of a query tile
constexpr int kRows = kTileRows >= 12 ? 8 : 4;  // rows of a register tile: its accumulators fill the register file

SELFREFINE_INLINE int64_t whole_vectors(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

SELFREFINE_INLINE void clear_floats(float* x, int64_t count) {
  memset(x, 0, static_cast<size_t>(count) * sizeof(float));
}

/// How rows of T are multiplied with each other (q.k, dout.v): a unit of 32 bits is a float or, where the machine
/// multiplies them, a pair of bf16. Both are exact products, summed in float.
template <typename T>
struct Product {
  static constexpr int64_t kPerUnit = 1;
  /// kWidth units from p on, of which `left` elements exist; 0 beyond.
  static SELFREFINE_INLINE Vec load_units(const T* p, int64_t left) {
    return left >= kWidth ? load(p) : load_n(p, static_cast<int>(max_of<int64_t>(left, 0)));
  }
  static SELFREFINE_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return fma(a, b, c); }
};
#ifdef SELFREFINE_DOT_PAIRS
template <>
struct Product<bf16> {
  static constexpr int64_t kPerUnit = 2;
  static SELFREFINE_INLINE Vec load_units(const bf16* p, int64_t left) {
    if (left >= 2 * kWidth) return load(reinterpret_cast<const float*>(p));
    return load_pairs_n(p, static_cast<int>(max_of<int64_t>(left, 0)));
  }
  static SELFREFINE_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return dot_pairs(a, b, c); }
};
#endif

template <typename T>
SELFREFINE_INLINE int64_t units(int64_t d) {
  return (d + Product<T>::kPerUnit - 1) / Product<T>::kPerUnit;
}

/// Rows of one head, `stride` elements apart.
template <typename T>
struct HeadRows {
  const T* first;
  int64_t stride, count, d;
};

/// to (capacity, d in whole vectors) = the rows as floats; what is beyond them is 0.
template <typename T>
SELFREFINE_INLINE void copy_rows(float* to, int64_t capacity, HeadRows<T> rows) {
  const int64_t padded = whole_vectors(rows.d);
  for (int64_t r = 0; r < rows.count; ++r) {
    const T* row = rows.first + r * rows.stride;
    for (int64_t i = 0; i < padded; i += kWidth) {
      const int64_t left = rows.d - i;
      store(to + r * padded + i, left >= kWidth ? load(row + i) : load_n(row + i, static_cast<int>(left)));
    }
  }
  clear_floats(to + rows.count * padded, (capacity - rows.count) * padded);
}

/// to (units in whole vectors, capacity) = the rows transposed, in units of Product<T>; what is beyond them is 0.
template <typename T>
SELFREFINE_INLINE void copy_across(float* to, int64_t capacity, HeadRows<T> rows) {
  for (int64_t r = 0; r < capacity; r += kWidth) {
    for (int64_t unit = 0; unit < units<T>(rows.d); unit += kWidth) {
      const int64_t i = unit * Product<T>::kPerUnit;
      Vec block[kWidth];
      for (int k = 0; k < kWidth; ++k) {
        const bool exists = r + k < rows.count;
        block[k] = exists ? Product<T>::load_units(rows.first + (r + k) * rows.stride + i, rows.d - i) : zero();
      }
      transpose(block);
      for (int k = 0; k < kWidth; ++k) store(to + (unit + k) * capacity + r, block[k]);
    }
  }
}

/// to (kQueries, d in whole vectors) = from, which is (d in whole vectors, kQueries), transposed.
SELFREFINE_INLINE void transpose_queries(float* to, const float* from, int64_t padded) {
  for (int64_t i = 0; i < padded; i += kWidth) {
    for (int64_t q = 0; q < kQueries; q += kWidth) {
      Vec block[kWidth];
      for (int k = 0; k < kWidth; ++k) block[k] = load(from + (i + k) * kQueries + q);
      transpose(block);
      for (int k = 0; k < kWidth; ++k) store(to + (q + k) * padded + i, block[k]);
    }
  }
}

/// Where the operands of a product of register tiles lie: a(i, k) at a[i * row + k * step], b(k) at b[k * ldb].
struct Operands {
  const float* a;
  int64_t row, step;
  const float* b;
  int64_t ldb;
  int64_t steps;
};

/// c (Rows, Vectors) += a b, in units of Product<T>.
template <typename T, int Rows, int Vectors>
SELFREFINE_INLINE void multiply(Vec (&c)[Rows][Vectors], Operands from) {
  const float *a = from.a, *b = from.b;
  for (int64_t k = 0; k < from.steps; ++k, a += from.step, b += from.ldb) {
    Vec line[Vectors];
    SELFREFINE_UNROLL
    for (int j = 0; j < Vectors; ++j) line[j] = load(b + j * kWidth);
    SELFREFINE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vec x = broadcast(a[i * from.row]);
      SELFREFINE_UNROLL
      for (int j = 0; j < Vectors; ++j) c[i][j] = Product<T>::multiply_add(x, line[j], c[i][j]);
    }
  }
}

/// scores (kRows, kQueries) of keys [key, key + kRows) of a panel.
template <typename T>
SELFREFINE_INLINE void multiply_across(Vec (&c)[kRows][kVectors], const float* keys_across, int64_t key,
                                       const float* queries_across, int64_t d) {
  SELFREFINE_UNROLL
  for (int i = 0; i < kRows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kVectors; ++j) c[i][j] = zero();
  }
  multiply<T>(c, {keys_across + key, 1, kKeyTile, queries_across, kQueries, units<T>(d)});
}

/// to += a b, one register tile of floats.
template <int Rows, int Vectors>
SELFREFINE_INLINE void add_product(float* to, int64_t ldc, Operands from) {
  Vec c[Rows][Vectors];
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < Vectors; ++j) c[i][j] = load(to + i * ldc + j * kWidth);
  }
  multiply<float>(c, from);
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < Vectors; ++j) store(to + i * ldc + j * kWidth, c[i][j]);
  }
}

/// to (d, kQueries) += rows^T x, where rows is (keys, padded) and x (keys, kQueries): the outputs and dq.
SELFREFINE_INLINE void add_across(float* to, const float* rows, int64_t padded, const float* x, int64_t d,
                                  int64_t keys) {
  int64_t i = 0;
  for (; i + kRows <= d; i += kRows) {
    add_product<kRows, kVectors>(to + i * kQueries, kQueries, {rows + i, 1, padded, x, kQueries, keys});
  }
  for (; i < d; i += 2) {
    add_product<2, kVectors>(to + i * kQueries, kQueries, {rows + i, 1, padded, x, kQueries, keys});
  }
}

/// to (keys in whole register tiles, padded) += x rows, where x is (keys, kQueries) and rows (kQueries, padded): dk
/// and dv.
SELFREFINE_INLINE void add_along(float* to, const float* x, const float* rows, int64_t padded, int64_t keys) {
  for (int64_t key = 0; key < keys; key += kRows) {
    const float* a = x + key * kQueries;
    float* c = to + key * padded;
    int64_t i = 0;
    for (; i + 2 * kWidth <= padded; i += 2 * kWidth) {
      add_product<kRows, 2>(c + i, padded, {a, kQueries, 1, rows + i, padded, kQueries});
    }
    if (i < padded) add_product<kRows, 1>(c + i, padded, {a, kQueries, 1, rows + i, padded, kQueries});
  }
}

/// 2^x for x <= 128 within 1e-7; 0 below -150. Softmax in base 2 saves the multiplications that e^x begins with.
/// 2^r - 1 = r q(r) for |r| <= 1/2, q of degree 5 interpolated at Chebyshev nodes (relative error 9e-9).
SELFREFINE_INLINE Vec exp2(Vec x) {
  x = max(broadcast(-150.0f), x);
  const Vec n = round(x);
  const Vec r = x - n;
  Vec q = broadcast(1.54531634e-4f);
  q = fma(q, r, broadcast(1.33908633e-3f));
  q = fma(q, r, broadcast(9.61808302e-3f));
  q = fma(q, r, broadcast(5.55035695e-2f));
  q = fma(q, r, broadcast(2.40226507e-1f));
  q = fma(q, r, broadcast(6.93147182e-1f));
  return scale(fma(q, r, broadcast(1.0f)), n);
}

constexpr float kLog2E = 1.44269504f;
constexpr double kLn2 = 0.693147180559945309;

}  // namespace attention
SELFREFINE_ISA_END
