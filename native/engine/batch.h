// The batch a trainer works on: buffers that JavaScript fills and reads, a copy of them that it cannot change while a
// step runs, the checks of that copy, and what follows from it: which rows are scored, where each scored sequence ends.
// It knows no model but its limits.
#pragma once

#include <memory>
#include <vector>

#include "model/arena.h"
#include "model/config.h"
#include "model/transformer.h"

namespace selfrefine {

struct TrainerCapacity {
  int64_t max_tokens = 0;     // rows of the largest micro-batch
  int64_t max_segments = 0;
  int64_t max_sequences = 0;  // scored sequences: examples of SFT, or two per pair
  bool training = true;       // false: forward only
};

/// How much of the buffers is valid in a call.
struct BatchSize {
  int64_t tokens = 0;
  int64_t segments = 0;
  int64_t sequences = 0;  // 0: sequence_of_row is not read
};

/// Shapes, types and meaning are those of TrainerBuffers in src/native.ts.
struct BatchInputs {
  Tensor tokens, positions, targets, weights, segments, sequence_of_row, reference_logps;
};
struct BatchOutputs {
  Tensor logps, sequence_logps, pair_losses;
};

/// The valid part of a checked batch, with its scored rows drawn together.
struct ScoredBatch {
  PackedBatch packed;
  Tensor targets;          // (M) i32
  Tensor logps;            // (M) f32
  Tensor metrics;          // (M, 3) f32
  Tensor dlogps;           // (M) f32
  Tensor sequence_ends;    // (sequences) i32: rows of sequence s end here among the M
  Tensor sequence_logps;   // (sequences) f32
  Tensor reference_logps;  // (sequences) f32
  int64_t scored = 0;      // M
};

class Batch {
 public:
  /// Throws ERR_INVALID_ARGUMENT or ERR_OUT_OF_MEMORY.
  Batch(const std::shared_ptr<Backend>& backend, const TrainerCapacity& capacity);

  const TrainerCapacity& capacity() const { return capacity_; }
  /// What JavaScript sees.
  const BatchInputs& inputs() const { return inputs_; }
  const BatchOutputs& outputs() const { return outputs_; }
  const Arena& arena() const { return arena_; }

  /// Copies the valid part of the inputs; from then on they may be filled again. Throws ERR_INVALID_ARGUMENT if they
  /// cannot hold so much.
  void stage(const BatchSize& size);
  /// Checks every index of what was staged. Throws ERR_INVALID_ARGUMENT naming the element. From then until publish()
  /// ops may use the batch.
  ScoredBatch prepare(const ModelConfig& config);
  /// The weights of the scored rows, checked to be finite.
  void read_weights(const ScoredBatch& batch, Tensor out) const;
  /// Waits for the backend's mark, which stands behind all ops that read or write the batch but those that take its
  /// indices alone; then writes logps of all rows and sums of the sequences.
  void publish(const ScoredBatch& batch);

 private:
  void end_use();
  int64_t gather_scored(int64_t vocab_size);
  void find_sequence_ends(int64_t scored);

  std::shared_ptr<Backend> backend_;
  TrainerCapacity capacity_;
  Arena arena_;
  BatchInputs inputs_, staged_;
  BatchOutputs outputs_;
  BatchSize size_;       // of what is staged
  bool in_use_ = false;  // ops that use the batch may be at work
  Tensor scored_rows_, scored_targets_, scored_logps_, scored_metrics_, dlogps_, sequence_ends_;
};

}  // namespace selfrefine
