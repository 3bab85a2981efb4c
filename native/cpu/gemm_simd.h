// Matrix multiplication inside one tile of C, for one instruction set. The register tile is kTileRows x kTileVectors
// vectors: accumulators, one row of B and one broadcast of A fill the register file.
// RULE: an element of C is a chain of fma over k, from 0, within each block, then a chain of additions of blocks. All
// register tiles, however few rows they have, follow it, so that a result does not depend on its neighbours.
#pragma once

#include "cpu/gemm_kernels.h"
#include "cpu/gemm_pack_simd.h"
#include "cpu/vec.h"

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

/// Where the sums of a register tile go: to[i * ld_to + j] = sums + (plus == null ? 0 : plus[i * ld_plus + j]).
struct Output {
  float* to;
  int64_t ld_to;
  const float* plus;
  int64_t ld_plus;
  const uint32_t* ahead;  // what to bring to the L2 cache meanwhile, ahead_units for each step
  int64_t ahead_units;
};

// How many steps ahead a panel of A is asked for that may lie in the matrix itself, a line of it far from the next.
constexpr int kPrefetchSteps = 8;

/// The product of `steps` steps of Rows rows of A and one panel of B. Where A lies by rows, every third of them has a
/// pointer of its own, since an address can hold a base and once or twice a stride.
template <typename Unit, int Rows, PackLayout Layout>
void register_tile(int64_t steps, const uint32_t* __restrict a, int64_t stride, const uint32_t* __restrict b,
                   const Output& output) {
  constexpr bool kByRows = Layout == PackLayout::rows;
  constexpr int kGroups = (Rows + 2) / 3;
  const uint32_t* row[kGroups];
  SELFREFINE_UNROLL
  for (int g = 0; g < kGroups; ++g) row[g] = a + (kByRows ? 3 * g * stride : 0);
  const uint32_t* ahead = output.ahead;
  const int64_t ahead_units = output.ahead_units;
  Vec c[Rows][kTileVectors];
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) c[i][j] = zero();
  }
  for (int64_t step = 0; step < steps; ++step, a += stride, b += kColumns, ahead += ahead_units) {
    __builtin_prefetch(ahead, 0, 2);
    if constexpr (kColumns * 4 > 64) __builtin_prefetch(ahead + ahead_units / 2, 0, 2);  // two cache lines a step
    if constexpr (!kByRows) __builtin_prefetch(a + kPrefetchSteps * stride);
    Vec line[kTileVectors];
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) line[j] = load_units(b + j * kWidth);
    SELFREFINE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vec x = Unit::broadcast_unit(kByRows ? row[i / 3] + (i % 3) * stride + step : a + i);
      SELFREFINE_UNROLL
      for (int j = 0; j < kTileVectors; ++j) c[i][j] = Unit::multiply_add(x, line[j], c[i][j]);
    }
  }
  if (output.plus != nullptr) {
    SELFREFINE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      SELFREFINE_UNROLL
      for (int j = 0; j < kTileVectors; ++j) c[i][j] += load(output.plus + i * output.ld_plus + j * kWidth);
    }
  }
  SELFREFINE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SELFREFINE_UNROLL
    for (int j = 0; j < kTileVectors; ++j) store(output.to + i * output.ld_to + j * kWidth, c[i][j]);
  }
}

using RegisterTile = void (*)(int64_t, const uint32_t*, int64_t, const uint32_t*, const Output&);

/// register_tile for 1 to kTileRows rows; entry 0 is never asked for.
template <typename Unit, PackLayout Layout>
struct RegisterTiles {
  RegisterTile of[kTileRows + 1] = {};

  constexpr RegisterTiles() { fill<1>(); }

 private:
  template <int Rows>
  constexpr void fill() {
    of[Rows] = &register_tile<Unit, Rows, Layout>;
    if constexpr (Rows < kTileRows) fill<Rows + 1>();
  }
};

template <typename Unit>
struct UnitTiles {
  RegisterTiles<Unit, PackLayout::steps> by_steps;
  RegisterTiles<Unit, PackLayout::rows> by_rows;
};

constexpr UnitTiles<Float> kFloatTiles;
#ifdef SELFREFINE_DOT_PAIRS
constexpr UnitTiles<Pair> kPairTiles;
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif

const RegisterTile* tiles_for(const TileJob& job) {
  const bool rows = job.a_layout == PackLayout::rows;
#ifdef SELFREFINE_DOT_PAIRS
  if (job.pairs) return rows ? kPairTiles.by_rows.of : kPairTiles.by_steps.of;
#endif
  return rows ? kFloatTiles.by_rows.of : kFloatTiles.by_steps.of;
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

/// Asks for the lines of C that the tile will write, to be there when its sums are ready.
SELFREFINE_INLINE void prefetch_c(const TileJob& job, int64_t i0, int64_t rows, int64_t j0) {
  const int64_t size = job.c_dtype == DType::f32 ? 4 : 2;
  const char* c = static_cast<const char*>(job.c) + (i0 * job.ldc + j0) * size;
  for (int64_t i = 0; i < rows; ++i, c += job.ldc * size) {
    for (int64_t byte = 0; byte < kColumns * size; byte += 64) __builtin_prefetch(c + byte, 1);
  }
}

/// Where the sums of the register tile at (i, j) go: to the sums of the blocks so far, or straight to C if that is all
/// there is to do, or else to `sums`, for finish().
SELFREFINE_INLINE Output output_of(const TileJob& job, int64_t i, int64_t j, float* sums) {
  Output output{sums, kColumns, nullptr, 0, nullptr, 0};
  if (!job.first) {
    output.plus = job.partial + i * job.partial_ld + j;
    output.ld_plus = job.partial_ld;
  }
  if (!job.last) {
    output.to = job.partial + i * job.partial_ld + j;
    output.ld_to = job.partial_ld;
    return output;
  }
  const bool plain = job.c_dtype == DType::f32 && job.bias == nullptr && job.columns - j >= kColumns &&
                     (job.add == nullptr || job.first);
  if (!plain) return output;
  output.to = static_cast<float*>(job.c) + i * job.ldc + j;
  output.ld_to = job.ldc;
  if (job.add != nullptr) {
    output.plus = static_cast<const float*>(job.add) + i * job.ld_add + j;
    output.ld_plus = job.ld_add;
  }
  return output;
}

/// While several panels of A are multiplied by one of B, they share the work of fetching the next of B. With one alone,
/// as in decoding, B streams from main memory and is asked for early enough for that.
SELFREFINE_INLINE void look_ahead(Output& output, const TileJob& job, int64_t i, const uint32_t* b) {
  constexpr int64_t kStreamSteps = 128;
  output.ahead_units = kColumns * kTileRows / max_of<int64_t>(job.rows, kTileRows);
  output.ahead = job.rows > kTileRows ? b + job.b_panel_stride + i / kTileRows * job.steps * output.ahead_units
                                      : b + kStreamSteps * kColumns;
}

void multiply(const TileJob& job) {
  alignas(64) float sums[kTileRows * kColumns];
  const RegisterTile* tiles = tiles_for(job);
  // A panel of B is the larger one and comes from farther away: it is used for all rows before the next.
  for (int64_t j = 0; j < job.columns; j += kColumns) {
    const uint32_t* b = job.b + j / kColumns * job.b_panel_stride;
    for (int64_t i = 0; i < job.rows; i += kTileRows) {
      const int64_t rows = min_of<int64_t>(kTileRows, job.rows - i);
      const uint32_t* a = job.a + i / kTileRows * job.a_panel_stride;
      if (job.last) prefetch_c(job, i, rows, j);
      Output output = output_of(job, i, j, sums);
      look_ahead(output, job, i, b);
      tiles[rows](job.steps, a, job.a_stride, b, output);
      if (output.to != sums) continue;
      if (job.c_dtype == DType::f32) finish<float>(job, sums, i, rows, j);
      else finish<bf16>(job, sums, i, rows, j);
    }
  }
}

constexpr GemmKernels table = {kTileRows, kColumns, kWidth, kPairs, &pack, &multiply};

}  // namespace gemm
SELFREFINE_ISA_END
