// Training steps on a borrowed model: SFT, preference losses, log-probs, optimizer. All memory is made at construction.
// It does NOT know files of data, schedules, or how many micro-batches make a step: weights of the batch say that.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/batch.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "model/activations.h"
#include "model/transformer.h"

namespace selfrefine {

struct PreferenceOptions {
  PreferenceKind kind = PreferenceKind::sigmoid;
  bool length_normalize = false;
  double beta = 0.1;
  double label_smoothing = 0;
  double pair_weight = 0;  // 1 / (pairs of the whole optimizer step)
  double nll_weight = 0;   // alpha / (chosen tokens of the whole optimizer step)
};

/// Sums over scored tokens of what the loss head tells of them (HeadMetric).
struct TokenSums {
  int64_t tokens = 0;
  double entropy = 0, correct = 0, mean_logits = 0;
};

struct SftResult {
  double loss = 0;  // -sum(weights * logps)
  TokenSums scored;
};

struct DpoResult {
  double loss = 0;  // weighted
  TokenSums chosen, rejected;
};

class Trainer {
 public:
  /// Throws ERR_INVALID_ARGUMENT or ERR_OUT_OF_MEMORY.
  Trainer(std::shared_ptr<Model> model, const TrainerCapacity& capacity);

  /// Its inputs are filled by the caller, then staged; the three calls below work on what was staged last.
  Batch& batch() { return batch_; }
  Model& model() const { return *model_; }

  /// Log-probs of the scored rows by the training forward.
  void logps();
  /// Forward and backward of cross-entropy.
  SftResult sft_step();
  /// Forward and backward of a preference loss over pairs (2i, 2i + 1) of sequences.
  DpoResult dpo_step(const PreferenceOptions& options);
  /// Throws ERR_UNSUPPORTED for a trainer that was made for the forward pass alone, as the two steps do.
  Optimizer& optimizer();

  std::vector<MemoryRow> memory() const;

 private:
  void expect_trainable();
  Activations forward(const ScoredBatch& batch);
  void backward(const ScoredBatch& batch, const Activations& a, const LmHeadLoss& loss);
  int64_t head_chunk_rows() const;
  LmHeadLoss head_loss(const ScoredBatch& batch, const Activations& a);
  void take_long_pairs(const ScoredBatch& batch, const Activations& a, PreferenceLoss preference);
  PreferenceLoss preference_loss(const ScoredBatch& batch, const PreferenceOptions& options) const;

  std::shared_ptr<Model> model_;
  Batch batch_;
  Activations activations_;
  Arena activation_arena_;
  Transformer transformer_;
  std::optional<Optimizer> optimizer_;
};

}  // namespace selfrefine
