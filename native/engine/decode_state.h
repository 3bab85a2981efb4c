// The rows of a decode step in memory that the ops themselves advance, so that steps follow one another without the
// host: it writes all of this when rows come or go, and now and then reads what was drawn. It knows no model.
#pragma once

#include <vector>

#include "engine/schedule.h"
#include "model/arena.h"

namespace selfrefine {

/// B rows, of which the first `padded` of a place() are valid. See AdvanceSamples.
struct DecodeRows {
  Tensor tokens, positions, lengths, slots, remaining;  // (B) i32
  Tensor keys;                                          // (B, 3) i32
  Tensor page_table;                                    // (B, max_pages) i32
  Tensor stop_tokens;                                   // (kMostStops) i32
};

struct DrawnRows {
  Tensor tokens, logps;                  // (B) i32, (B) f32: of the last step
  Tensor history_tokens, history_logps;  // (B, window)
};

class DecodeState {
 public:
  /// Stop tokens that a row can find by itself. Of others only the host knows: their rows go on until it looks.
  static constexpr int64_t kMostStops = 32;

  /// `window`: steps after which the host looks at the latest. Throws ERR_OUT_OF_MEMORY.
  DecodeState(const std::shared_ptr<Backend>& backend, const ScheduleLimits& limits, int64_t max_pages,
              int64_t window);

  /// Of all rows placed from now on.
  void set_stop_tokens(const std::vector<int64_t>& tokens);
  /// Makes these the rows of the steps that follow, and rows at rest of the others up to `padded`.
  void place(const std::vector<ActiveSample>& rows, int64_t padded, int64_t max_new_tokens);
  /// The end of a step: every row takes what was drawn for it.
  void advance(int64_t padded);
  /// Waits, and makes token() and logp() what was drawn so far.
  void fetch();

  /// What was drawn for a position of a row, in the last `window` steps before fetch().
  int32_t token(int64_t row, int64_t position) const {
    return host_drawn_.history_tokens.as<int32_t>()[at(row, position)];
  }
  float logp(int64_t row, int64_t position) const { return host_drawn_.history_logps.as<float>()[at(row, position)]; }

  const DecodeRows& rows() const { return rows_; }
  const DrawnRows& drawn() const { return drawn_; }
  MemoryRow memory() const;

 private:
  int64_t at(int64_t row, int64_t position) const { return row * window_ + position % window_; }
  void fill(int64_t b, const ActiveSample& row, int64_t max_new_tokens);
  void fill_rest(int64_t b);

  std::shared_ptr<Backend> backend_;
  int64_t page_size_, max_pages_, window_;
  DecodeRows rows_, host_rows_;  // the same memory where the backend's is host memory, as are the drawn
  DrawnRows drawn_, host_drawn_;
  Arena rows_arena_, host_rows_arena_, drawn_arena_, host_drawn_arena_;
};

}  // namespace selfrefine
