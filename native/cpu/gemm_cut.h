// How a matrix product is cut into tasks. What an element of C becomes never depends on it, only who computes it when.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/gemm_kernels.h"

namespace selfrefine::gemm {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

/// n cut into the fewest parts of at most `most`, all about equal, each a multiple of `unit`.
inline int64_t even_part(int64_t n, int64_t most, int64_t unit) {
  const int64_t limit = std::max(unit, most / unit * unit);
  return std::max(unit, round_up(divide_up(n, std::max<int64_t>(1, divide_up(n, limit))), unit));
}

/// How packing an operand for all threads is cut: in groups of panels and, where lines are copied, of steps.
struct PackCut {
  static constexpr int64_t kUnits = int64_t{1} << 13;  // of one task
  static constexpr int64_t kLines = 64;                // steps of one task, where k is not contiguous

  int64_t all_panels, panels, steps, panel_groups, step_groups;

  explicit PackCut(const PackJob& job) {
    const int64_t all_steps = job.step_end - job.step_begin;
    all_panels = divide_up(job.count, job.width);
    steps = job.k_contiguous ? std::max<int64_t>(1, all_steps) : kLines;
    panels = std::max<int64_t>(1, kUnits / (steps * job.width));
    panel_groups = divide_up(all_panels, panels);
    step_groups = divide_up(all_steps, steps);
  }

  int64_t tasks() const { return panel_groups * step_groups; }

  PackJob task(PackJob job, int64_t index) const {
    job.panel_begin = index / step_groups * panels;
    job.panel_end = std::min(all_panels, job.panel_begin + panels);
    const int64_t end = job.step_end;
    job.step_begin += index % step_groups * steps;
    job.step_end = std::min(end, job.step_begin + steps);
    return job;
  }
};

/// A part of C.
struct Tile {
  int64_t row, column, rows, columns;
};

/// How a block of C is cut into tiles. Many rows: a tile takes all columns, so that its rows of A are packed but once; only
/// the last rows are cut by columns as well, so that all threads finish together. Few rows, as in decoding: A is packed
/// once for all, and columns alone are cut.
struct TileCut {
  static constexpr int64_t kFewRows = 144;
  static constexpr int64_t kMaxTileRows = 96;  // of A and one block of k fit the L2 cache
  static constexpr int64_t kTileRowsPerThread = 8;
  static constexpr int64_t kCutRowsPerThread = 2;
  static constexpr int64_t kPiecesOfCutRow = 4;
  static constexpr int64_t kFewRowsTileColumns = 256;  // at most
  static constexpr int64_t kFewRowsTilesPerThread = 16;

  int64_t rows, columns, tile_rows, tile_columns;
  int64_t whole;   // tile rows that take all columns
  int64_t across;  // tiles in each of the others

  static bool few(int64_t rows) { return rows <= kFewRows; }

  TileCut(int64_t rows, int64_t columns, const GemmKernels& kernels, int threads) : rows(rows), columns(columns) {
    int64_t wanted;
    if (few(rows)) {
      tile_rows = rows;
      whole = 0;
      wanted = std::min(kFewRowsTileColumns, columns / (kFewRowsTilesPerThread * threads));
    } else {
      tile_rows = even_part(rows, std::min(kMaxTileRows, rows / (kTileRowsPerThread * threads)), kernels.rows);
      whole = divide_up(rows, tile_rows);
      if (threads > 1) whole = std::max<int64_t>(0, whole - kCutRowsPerThread * threads);
      wanted = divide_up(columns, kPiecesOfCutRow);
    }
    tile_columns = std::max<int64_t>(1, wanted / kernels.columns) * kernels.columns;
    across = divide_up(columns, tile_columns);
  }

  int64_t tiles() const { return whole + (divide_up(rows, tile_rows) - whole) * across; }

  Tile tile(int64_t index) const {
    const bool is_whole = index < whole;
    const int64_t row = (is_whole ? index : whole + (index - whole) / across) * tile_rows;
    const int64_t column = is_whole ? 0 : (index - whole) % across * tile_columns;
    return {row, column, std::min(tile_rows, rows - row), is_whole ? columns : std::min(tile_columns, columns - column)};
  }
};

}  // namespace selfrefine::gemm
