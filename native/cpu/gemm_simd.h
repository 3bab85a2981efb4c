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
constexpr int kLineUnits = 16;  // of a cache line

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

// How far ahead of its use a line of B or A is asked for: an L3 latency's worth of steps.
constexpr int kPrefetchSteps = 12;

/// sums[Rows][kColumns] = the product of `steps` steps of one panel of A, Rows wide, by runs or by steps, and one of B.
template <typename Unit, int Rows, bool ByRuns>
void register_tile(int64_t steps, const uint32_t* __restrict a, const uint32_t* __restrict b, float* __restrict sums) {
  constexpr int kRun = ByRuns ? kWidth : 1;
  constexpr int kRunUnits = ByRuns ? Rows * kWidth : line_units(Rows);
  Vec c[Rows][kTileVectors];
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) c[i][j] = zero();
  }
  for (int64_t left = steps; left > 0; left -= kRun, a += kRunUnits) {
    const int64_t run = min_of<int64_t>(kRun, left);
    for (int64_t step = 0; step < run; ++step, b += kColumns) {
      for (int j = 0; j < kColumns; j += kLineUnits) __builtin_prefetch(b + kPrefetchSteps * kColumns + j);
      Vec line[kTileVectors];
      SELFREFINE_UNROLL
      for (int j = 0; j < kTileVectors; ++j) line[j] = load_units(b + j * kWidth);
      SELFREFINE_UNROLL
      for (int i = 0; i < Rows; ++i) {
        const Vec x = Unit::broadcast_unit(a + i * kRun + step);
        SELFREFINE_UNROLL
        for (int j = 0; j < kTileVectors; ++j) c[i][j] = Unit::multiply_add(x, line[j], c[i][j]);
      }
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
template <typename Unit, bool ByRuns>
struct RegisterTiles {
  RegisterTile of[kTileRows + 1] = {};

  constexpr RegisterTiles() { fill<1>(); }

 private:
  template <int Rows>
  constexpr void fill() {
    of[Rows] = &register_tile<Unit, Rows, ByRuns>;
    if constexpr (Rows < kTileRows) fill<Rows + 1>();
  }
};

template <typename Unit>
struct UnitTiles {
  RegisterTiles<Unit, false> by_steps;
  RegisterTiles<Unit, true> by_runs;
};

constexpr UnitTiles<Float> kFloatTiles;
#ifdef SELFREFINE_DOT_PAIRS
constexpr UnitTiles<Pair> kPairTiles;
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif

const RegisterTile* tiles_for(const TileJob& job) {
  const bool runs = job.a_layout == PackLayout::runs;
#ifdef SELFREFINE_DOT_PAIRS
  if (job.pairs) return runs ? kPairTiles.by_runs.of : kPairTiles.by_steps.of;
#endif
  return runs ? kFloatTiles.by_runs.of : kFloatTiles.by_steps.of;
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
void finish(const TileJob& job, const float* sums, int64_t i0, int64_t rows, int64_t j0) {
  const int64_t columns = min_of<int64_t>(kColumns, job.columns - j0);
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

/// Units of a panel of A per step.
SELFREFINE_INLINE int64_t step_units(PackLayout layout, int64_t rows) {
  return layout == PackLayout::runs ? rows : line_units(rows);
}

/// Asks for the lines of C that the tile will write, to be there when its sums are ready.
SELFREFINE_INLINE void prefetch_c(const TileJob& job, int64_t i0, int64_t rows, int64_t j0) {
  const int64_t size = job.c_dtype == DType::f32 ? 4 : 2;
  const char* c = static_cast<const char*>(job.c) + (i0 * job.ldc + j0) * size;
  for (int64_t i = 0; i < rows; ++i, c += job.ldc * size) {
    for (int64_t byte = 0; byte < kColumns * size; byte += 64) __builtin_prefetch(c + byte, 1);
  }
}

void multiply(const TileJob& job) {
  alignas(64) float sums[kTileRows * kColumns];
  const RegisterTile* tiles = tiles_for(job);
  // A panel of B is the larger one and comes from farther away: it is used for all rows before the next.
  for (int64_t j = 0; j < job.columns; j += kColumns) {
    const uint32_t* b = job.b + j / kColumns * job.b_panel_stride;
    for (int64_t i = 0; i < job.rows; i += kTileRows) {
      const int64_t rows = min_of<int64_t>(kTileRows, job.rows - i);
      const uint32_t* a = job.a + i / kTileRows * job.a_panel_stride + job.a_begin * step_units(job.a_layout, rows);
      if (job.last) prefetch_c(job, i, rows, j);
      tiles[rows](job.steps, a, b, sums);
      const int64_t at = i * job.partial_ld + j;
      if (!job.first) add_partial(sums, job.partial + at, job.partial_ld, rows);
      if (!job.last) keep_partial(sums, job.partial + at, job.partial_ld, rows);
      else if (job.c_dtype == DType::f32) finish<float>(job, sums, i, rows, j);
      else finish<bf16>(job, sums, i, rows, j);
    }
  }
}

constexpr GemmKernels table = {kTileRows, kColumns, kWidth, kPairs, &pack, &multiply};

}  // namespace gemm
SELFREFINE_ISA_END
