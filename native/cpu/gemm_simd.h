// Matrix multiplication inside one tile of C, for one instruction set. The register tile is kTileRows x kTileVectors
// vectors: accumulators, one row of B and one broadcast of A fill the register file.
// RULE: an element of C is a chain of fma over k, from 0, within each block, and then a chain of additions of blocks. All
// register tiles, however few rows they have, follow it, so that a result does not depend on its neighbours.
#pragma once

#include "cpu/gemm_kernels.h"
#include "cpu/gemm_pack_simd.h"
#include "cpu/vec.h"

#if defined(__clang__)
#define SELFREFINE_UNROLL _Pragma("unroll")
#else
#define SELFREFINE_UNROLL _Pragma("GCC unroll 32")
#endif

SELFREFINE_ISA_BEGIN
namespace gemm {

constexpr int kColumns = kTileVectors * kWidth;

struct Float {
  static SELFREFINE_INLINE Vec broadcast_unit(const uint32_t* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof x);
    return broadcast(x);
  }
  static SELFREFINE_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return fma(a, b, c); }
};

#ifdef SELFREFINE_DOT_PAIRS
/// Two bf16 in one unit: c + a.low * b.low + a.high * b.high.
struct Pair : Float {
  static SELFREFINE_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return dot_pairs(a, b, c); }
};
#endif

/// sums[Rows][kColumns] = the product of `steps` steps of one panel of A, Rows wide, and one of B.
template <typename Unit, int Rows>
void register_tile(int64_t steps, const uint32_t* __restrict a, const uint32_t* __restrict b, float* __restrict sums) {
  Vec c[Rows][kTileVectors];
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) c[i][j] = zero();
  }
  for (int64_t step = 0; step < steps; ++step, a += Rows, b += kColumns) {
    Vec line[kTileVectors];
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) line[j] = load_unit(b + j * kWidth);
    SELFREFINE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vec x = Unit::broadcast_unit(a + i);
      SELFREFINE_UNROLL
      for (int j = 0; j < kTileVectors; ++j) c[i][j] = Unit::multiply_add(x, line[j], c[i][j]);
    }
  }
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) store(sums + i * kColumns + j * kWidth, c[i][j]);
  }
}

using RegisterTile = void (*)(int64_t, const uint32_t*, const uint32_t*, float*);

/// register_tile for 1 to kTileRows rows; entry 0 is never asked for.
template <typename Unit>
struct RegisterTiles {
  RegisterTile of[kTileRows + 1] = {};

  constexpr RegisterTiles() { fill<1>(); }

 private:
  template <int Rows>
  constexpr void fill() {
    of[Rows] = &register_tile<Unit, Rows>;
    if constexpr (Rows < kTileRows) fill<Rows + 1>();
  }
};

constexpr RegisterTiles<Float> kFloatTiles;
#ifdef SELFREFINE_DOT_PAIRS
constexpr RegisterTiles<Pair> kPairTiles;
#endif

SELFREFINE_INLINE RegisterTile tile_for([[maybe_unused]] bool pairs, int64_t rows) {
#ifdef SELFREFINE_DOT_PAIRS
  if (pairs) return kPairTiles.of[rows];
#endif
  return kFloatTiles.of[rows];
}

/// c (+ bias) (+ add) of one row, n columns.
template <typename T>
SELFREFINE_INLINE void finish_row(const float* sums, const T* bias, const T* add, T* c, int64_t n) {
  for_lanes(n, [&](int64_t j, int lanes) {
    Vec x = load(sums + j);
    if (bias != nullptr) x += load_n(bias + j, lanes);
    if (add != nullptr) x += load_n(add + j, lanes);
    store_n(c + j, x, lanes);
  });
}

template <typename T>
void finish(const TileJob& job, const float* sums, int64_t i0, int64_t rows, int64_t j0, int64_t columns) {
  const T* bias = job.bias == nullptr ? nullptr : static_cast<const T*>(job.bias) + j0;
  for (int64_t i = 0; i < rows; ++i) {
    const T* add = job.add == nullptr ? nullptr : static_cast<const T*>(job.add) + (i0 + i) * job.ld_add + j0;
    finish_row(sums + i * kColumns, bias, add, static_cast<T*>(job.c) + (i0 + i) * job.ldc + j0, columns);
  }
}

SELFREFINE_INLINE void add_partial(float* sums, const float* partial, int64_t ld, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int j = 0; j < kColumns; j += kWidth) {
      store(sums + i * kColumns + j, load(partial + i * ld + j) + load(sums + i * kColumns + j));
    }
  }
}

SELFREFINE_INLINE void keep_partial(const float* sums, float* partial, int64_t ld, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int j = 0; j < kColumns; j += kWidth) store(partial + i * ld + j, load(sums + i * kColumns + j));
  }
}

void multiply(const TileJob& job) {
  alignas(64) float sums[kTileRows * kColumns];
  int64_t begin = 0;
  do {  // once even for no steps at all: the sum is 0 then
    const int64_t steps = min_of(job.block, job.steps - begin);
    const bool first = job.first && begin == 0;
    const bool last = job.last && begin + steps == job.steps;
    for (int64_t i = 0; i < job.rows; i += kTileRows) {
      const int64_t rows = min_of<int64_t>(kTileRows, job.rows - i);
      const RegisterTile tile = tile_for(job.pairs, rows);
      const uint32_t* a = job.a + i / kTileRows * job.a_panel_stride + begin * rows;
      for (int64_t j = 0; j < job.columns; j += kColumns) {
        tile(steps, a, job.b + j / kColumns * job.b_panel_stride + begin * kColumns, sums);
        const int64_t at = i * job.partial_ld + j;
        if (!first) add_partial(sums, job.partial + at, job.partial_ld, rows);
        if (!last) keep_partial(sums, job.partial + at, job.partial_ld, rows);
        else if (job.c_dtype == DType::f32) finish<float>(job, sums, i, rows, j, min_of<int64_t>(kColumns, job.columns - j));
        else finish<bf16>(job, sums, i, rows, j, min_of<int64_t>(kColumns, job.columns - j));
      }
    }
    begin += job.block;
  } while (begin < job.steps);
}

#ifdef SELFREFINE_DOT_PAIRS
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif

constexpr GemmKernels table = {kTileRows, kColumns, kPairs, &pack, &multiply};

}  // namespace gemm
SELFREFINE_ISA_END
