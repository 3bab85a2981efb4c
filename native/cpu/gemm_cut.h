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

/// How a block of C is cut into tiles. Many rows: each thread begins with an equal share of the rows, in tiles that
/// take all columns, so that A is read by one thread alone; the last tile rows of a share are cut by columns as well,
/// so that the threads can finish together, unless each tile has to pack its A. Few rows, as in decoding: A is shared
/// and columns alone are cut.
class TileCut {
 public:
  static bool few(int64_t rows) { return rows <= kFewRows; }

  TileCut(int64_t rows, int64_t columns, bool packs_a, const GemmKernels& kernels, int threads)
      : rows_(rows), columns_(columns) {
    int64_t wanted;
    if (few(rows)) {
      panel_rows_ = rows;
      tall_ = 1;
      wanted = std::min(kFewRowsTileColumns, columns / (kFewRowsTilesPerThread * threads));
    } else {
      panel_rows_ = kernels.rows;
      shares_ = threads;
      tall_ = std::max(divide_up(divide_up(rows, threads), kMaxTileRows), kTileRowsPerThread);
      whole_ = threads == 1 || packs_a ? tall_ : tall_ - kCutRows;
      wanted = divide_up(columns, kPiecesOfCutRow);
    }
    panels_ = divide_up(rows, panel_rows_);
    tile_columns_ = std::max<int64_t>(1, wanted / kernels.columns) * kernels.columns;
    across_ = divide_up(columns, tile_columns_);
  }

  int64_t tiles() const { return shares_ * tiles_of_share(); }

  /// May be empty, where there are more threads than rows.
  Tile tile(int64_t index) const {
    const int64_t share = index / tiles_of_share();
    const int64_t place = index % tiles_of_share();
    const bool is_whole = place < whole_;
    const int64_t up = is_whole ? place : whole_ + (place - whole_) / across_;
    const int64_t row = panel_at(share * tall_ + up) * panel_rows_;
    const int64_t end = std::min(rows_, panel_at(share * tall_ + up + 1) * panel_rows_);
    const int64_t column = is_whole ? 0 : (place - whole_) % across_ * tile_columns_;
    const int64_t columns = is_whole ? columns_ : std::min(tile_columns_, columns_ - column);
    return {row, column, end - row, columns};
  }

  int64_t most_rows() const { return divide_up(panels_, shares_ * tall_) * panel_rows_; }
  int64_t most_columns() const { return whole_ > 0 ? columns_ : std::min(columns_, tile_columns_); }

 private:
  static constexpr int64_t kFewRows = 144;
  static constexpr int64_t kMaxTileRows = 96;  // of A and one block of k fit the L2 cache
  static constexpr int64_t kTileRowsPerThread = 4;
  static constexpr int64_t kCutRows = 2;
  static constexpr int64_t kPiecesOfCutRow = 4;
  static constexpr int64_t kFewRowsTileColumns = 256;  // at most
  static constexpr int64_t kFewRowsTilesPerThread = 16;

  int64_t tiles_of_share() const { return whole_ + (tall_ - whole_) * across_; }
  int64_t panel_at(int64_t tile_row) const { return panels_ * tile_row / (shares_ * tall_); }

  int64_t rows_, columns_, tile_columns_;
  int64_t panel_rows_, panels_;  // A is cut between panels only
  int64_t shares_ = 1;           // of the rows
  int64_t tall_;                 // tile rows of a share
  int64_t whole_ = 0;            // of them, those that take all columns
  int64_t across_;               // tiles in each of the others
};

}  // namespace selfrefine::gemm
