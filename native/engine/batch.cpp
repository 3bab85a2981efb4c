// Checks before anything is computed: a bad batch leaves gradients and outputs as they were.
#include "engine/batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

constexpr int32_t kNoTarget = -100;  // Hugging Face's ignore_index

void expect_size(const char* field, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    fail(ErrorCode::invalid_argument, "batch: ", field, " is ", value, ", expected ", least, " to ", most,
         ", the capacity of the trainer");
  }
}

void expect_capacity(const char* field, int64_t value) {
  if (value < 1 || value > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::invalid_argument, "trainer: ", field, " is ", value, ", expected an integer from 1 to ",
         std::numeric_limits<int32_t>::max());
  }
}

}  // namespace

Batch::Batch(const std::shared_ptr<Backend>& backend, const TrainerCapacity& capacity)
    : backend_(backend), capacity_(capacity) {
  expect_capacity("maxTokens", capacity.max_tokens);
  expect_capacity("maxSegments", capacity.max_segments);
  expect_capacity("maxSequences", capacity.max_sequences);
  const int64_t n = capacity.max_tokens, s = capacity.max_sequences;
  arena_ = build_arena(backend, "batch", Reach::host, [&](Layout& layout) {
    for (BatchInputs* b : {&inputs_, &staged_}) {
      for (Tensor* t : {&b->tokens, &b->positions, &b->targets, &b->sequence_of_row}) *t = layout.take(DType::i32, {n});
      b->weights = layout.take(DType::f32, {n});
      b->segments = layout.take(DType::i32, {capacity.max_segments, 4});
      b->reference_logps = layout.take(DType::f32, {s});
    }
    outputs_ = {.logps = layout.take(DType::f32, {n}),
                .sequence_logps = layout.take(DType::f32, {s}),
                .pair_losses = layout.take(DType::f32, {s / 2})};
    for (Tensor* t : {&scored_rows_, &scored_targets_}) *t = layout.take(DType::i32, {n});
    for (Tensor* t : {&scored_logps_, &dlogps_}) *t = layout.take(DType::f32, {n});
    scored_metrics_ = layout.take(DType::f32, {n, kHeadMetrics});
    sequence_ends_ = layout.take(DType::i32, {s});
  });
}

/// After an error in the middle of a step its ops may still be at work.
void Batch::end_use() {
  if (in_use_) backend_->synchronize();
  in_use_ = false;
}

void Batch::stage(const BatchSize& size) {
  expect_size("tokens", size.tokens, 1, capacity_.max_tokens);
  expect_size("segments", size.segments, 1, capacity_.max_segments);
  expect_size("sequences", size.sequences, 0, capacity_.max_sequences);
  end_use();
  const auto copy = [this](Tensor BatchInputs::*field, int64_t rows) {
    const Tensor from = (inputs_.*field).rows(0, rows);
    std::memcpy((staged_.*field).data, from.data, static_cast<size_t>(from.bytes()));
  };
  for (const auto field : {&BatchInputs::tokens, &BatchInputs::positions, &BatchInputs::targets, &BatchInputs::weights,
                           &BatchInputs::sequence_of_row}) {
    copy(field, size.tokens);
  }
  copy(&BatchInputs::segments, size.segments);
  copy(&BatchInputs::reference_logps, size.sequences);
  size_ = size;
}

ScoredBatch Batch::prepare(const ModelConfig& config) {
  end_use();
  const PackedBatch packed = {.tokens = staged_.tokens.rows(0, size_.tokens),
                              .positions = staged_.positions.rows(0, size_.tokens),
                              .segments = staged_.segments.rows(0, size_.segments),
                              .scored_rows = {}};
  expect_in_range("batch", "tokens", packed.tokens, 0, config.vocab_size);
  expect_in_range("batch", "positions", packed.positions, 0, config.max_position_embeddings);
  expect_segments("batch", packed.segments, size_.tokens);
  const int64_t m = gather_scored(config.vocab_size);
  if (size_.sequences > 0) find_sequence_ends(m);
  ScoredBatch batch = {.packed = packed,
                       .targets = scored_targets_.rows(0, m),
                       .logps = scored_logps_.rows(0, m),
                       .metrics = scored_metrics_.rows(0, m),
                       .dlogps = dlogps_.rows(0, m),
                       .sequence_ends = sequence_ends_.rows(0, size_.sequences),
                       .sequence_logps = outputs_.sequence_logps.rows(0, size_.sequences),
                       .reference_logps = staged_.reference_logps.rows(0, size_.sequences),
                       .scored = m};
  batch.packed.scored_rows = scored_rows_.rows(0, m);
  in_use_ = true;
  return batch;
}

int64_t Batch::gather_scored(int64_t vocab_size) {
  const int32_t* targets = staged_.targets.as<int32_t>();
  int64_t m = 0;
  for (int64_t n = 0; n < size_.tokens; ++n) {
    if (targets[n] == kNoTarget) continue;
    if (targets[n] < 0 || targets[n] >= vocab_size) {
      fail(ErrorCode::invalid_argument, "batch: targets[", n, "] is ", targets[n], ", expected a token in [0, ",
           vocab_size, "), or ", kNoTarget, " for none");
    }
    scored_rows_.as<int32_t>()[m] = static_cast<int32_t>(n);
    scored_targets_.as<int32_t>()[m++] = targets[n];
  }
  return m;
}

void Batch::find_sequence_ends(int64_t scored) {
  const int32_t* sequence_of_row = staged_.sequence_of_row.as<int32_t>();
  const int32_t* rows = scored_rows_.as<int32_t>();
  int32_t* ends = sequence_ends_.as<int32_t>();
  int64_t current = 0;
  for (int64_t m = 0; m < scored; ++m) {
    const int64_t sequence = sequence_of_row[rows[m]];
    if (sequence < current || sequence >= size_.sequences) {
      fail(ErrorCode::invalid_argument, "batch: sequenceOfRow[", rows[m], "] is ", sequence, ", expected ", current,
           " to ", size_.sequences - 1, ": a row with a target belongs to a sequence, and these do not decrease");
    }
    for (; current < sequence; ++current) ends[current] = static_cast<int32_t>(m);
  }
  for (; current < size_.sequences; ++current) ends[current] = static_cast<int32_t>(scored);
}

void Batch::read_weights(const ScoredBatch& batch, Tensor out) const {
  const float* weights = staged_.weights.as<float>();
  for (int64_t m = 0; m < batch.scored; ++m) {
    const int32_t row = batch.packed.scored_rows.as<int32_t>()[m];
    if (!std::isfinite(weights[row])) {
      fail(ErrorCode::invalid_argument, "batch: weights[", row, "] is ", weights[row], ", expected a finite number");
    }
    out.as<float>()[m] = weights[row];
  }
}

void Batch::publish(const ScoredBatch& batch) {
  backend_->wait_for_mark();
  in_use_ = false;
  float* all = outputs_.logps.as<float>();
  const float* logps = batch.logps.as<float>();
  std::fill_n(all, batch.packed.tokens.dim(0), 0.0f);
  for (int64_t m = 0; m < batch.scored; ++m) all[batch.packed.scored_rows.as<int32_t>()[m]] = logps[m];
  int64_t begin = 0;
  for (int64_t s = 0; s < batch.sequence_ends.dim(0); ++s) {
    const int64_t end = batch.sequence_ends.as<int32_t>()[s];
    double sum = 0;  // rounded once, as PreferenceLoss does: a policy equal to its reference has ratio 0 exactly
    for (int64_t m = begin; m < end; ++m) sum += logps[m];
    batch.sequence_logps.as<float>()[s] = static_cast<float>(sum);
    begin = end;
  }
}

}  // namespace selfrefine
