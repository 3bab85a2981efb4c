// The passes of generation over the paged key/value cache: fill prompts, copy a page, steps for a batch of rows with
// the next token of each drawn at the end of a step. Where that saves time steps are recorded: one record serves all
// batches and lengths that are rounded up to the same. It does NOT know which rows these are.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "engine/decode_state.h"
#include "engine/model.h"
#include "engine/schedule.h"
#include "model/activations.h"
#include "model/transformer.h"

namespace selfrefine {

struct SamplingOptions {
  uint64_t seed = 0;
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;

  bool operator==(const SamplingOptions&) const = default;
};

class DecodeGraph {
 public:
  /// `window`: steps of one decode() at most. Throws ERR_OUT_OF_MEMORY. The model outlives the graph.
  DecodeGraph(Model& model, const ScheduleLimits& limits, int64_t window);

  /// Of all steps from now on.
  void begin(const SamplingOptions& options, const std::vector<int64_t>& stop_tokens);
  /// Computes keys and values of the prompts' tokens, all in one pass, into their pages.
  void prefill(const std::vector<Admission::Prefill>& prompts);
  void copy_page(const Admission::Copy& copy);
  /// Says which rows the steps are for, until the next call.
  void place(const std::vector<ActiveSample>& rows, int64_t max_new_tokens);
  /// A step caches and attends each row's last token, then draws the next. Waits for drawn().
  void decode(int64_t steps);
  const DecodeState& drawn() const { return state_; }

  std::vector<MemoryRow> memory() const;

 private:
  struct LayerCache {
    Tensor k, v;  // (pages, K, page_size, D) T
  };

  void write_cache(int64_t l, const LayerActivations& layer, const Tensor& slots);
  int64_t rounded_batch(int64_t batch) const;
  int64_t rounded_length() const;
  void step(int64_t max_length);
  void draw();

  Model& model_;
  ScheduleLimits limits_;
  int64_t max_pages_;  // of one sample
  Activations activations_;
  std::vector<LayerCache> cache_;
  Tensor prompt_tokens_, prompt_positions_, prompt_slots_;  // (prompt rows) i32
  Tensor segments_;                                         // (prompt rows, 4) i32
  Tensor logits_;                                           // (B, V) f32
  Arena activation_arena_, cache_arena_, logits_arena_, prompt_arena_;
  Transformer transformer_;
  DecodeState state_;
  SamplingOptions options_;
  int64_t batch_ = 0, longest_ = 0;  // rows of a step, those at rest included; keys of the longest
  bool adapted_ = true;  // whether the recordings are of a model with its adapters on
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<Recording>> recordings_;  // by rows and max_length
};

}  // namespace selfrefine
