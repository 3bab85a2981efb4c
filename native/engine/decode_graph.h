// The passes of generation over the paged key/value cache: fill prompts, copy a page, one step for a batch of rows with
// the next token of each drawn at its end. It does NOT know which rows these are, nor when they end.
#pragma once

#include <vector>

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
};

class DecodeGraph {
 public:
  /// Throws ERR_OUT_OF_MEMORY. The model outlives the graph.
  DecodeGraph(Model& model, const ScheduleLimits& limits);

  /// Computes keys and values of the prompts' tokens, all in one pass, into their pages.
  void prefill(const std::vector<Admission::Prefill>& prompts);
  void copy_page(const Admission::Copy& copy);
  /// Caches and attends each row's last token, then draws the next: tokens()[b] with logps()[b]. Waits for them.
  void decode(const std::vector<ActiveSample>& rows, const SamplingOptions& options);

  const int32_t* tokens() const { return drawn_tokens_.as<int32_t>(); }
  const float* logps() const { return drawn_logps_.as<float>(); }

  std::vector<MemoryRow> memory() const;

 private:
  struct LayerCache {
    Tensor k, v;  // (pages, K, page_size, D) T
  };

  /// Of their own for either pass: ops of the prefill may still read theirs when the decode step is filled in.
  struct RowIndices {
    Tensor tokens, positions, slots;  // (rows) i32
  };

  void write_cache(int64_t l, const LayerActivations& layer, const Tensor& slots);
  void fill_row(int64_t b, const ActiveSample& row);
  void draw(int64_t batch, const SamplingOptions& options);

  Model& model_;
  ScheduleLimits limits_;
  int64_t max_pages_;  // of one sample
  Activations activations_;
  std::vector<LayerCache> cache_;
  RowIndices prompt_rows_, rows_;               // of a prefill pass, of a decode step
  Tensor segments_;                             // (prompt rows, 4) i32
  Tensor page_table_, lengths_, keys_;          // (B, max_pages), (B), (B, 3) i32
  Tensor logits_, drawn_tokens_, drawn_logps_;  // (B, V) f32, (B) i32, (B) f32
  Arena activation_arena_, cache_arena_, logits_arena_, decode_arena_;
  Transformer transformer_;
};

}  // namespace selfrefine
