// A step is: check the batch, forward, loss head (which takes the loss's gradient on the way), backward.
#include "engine/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace selfrefine {

namespace {

/// Rows of the loss head whose logits exist at a time. Large enough for full GEMM speed.
constexpr int64_t kChunkRows = 512;

std::vector<int64_t> plain_chunks(int64_t rows) {
  std::vector<int64_t> ends;
  for (int64_t end = kChunkRows; end < rows; end += kChunkRows) ends.push_back(end);
  ends.push_back(rows);
  return ends;
}

const std::shared_ptr<Model>& expect_model(const std::shared_ptr<Model>& model) {
  if (!model) fail(ErrorCode::disposed, "trainer: the model was disposed");
  return model;
}

void expect_pairs(const BatchSize& size, const ScoredBatch& batch) {
  if (size.sequences < 2 || size.sequences % 2 != 0) {
    fail(ErrorCode::invalid_argument, "dpoStep: sequences is ", size.sequences,
         ", expected an even number, 2 or more: chosen and rejected of each pair");
  }
  const int32_t* ends = batch.sequence_ends.as<int32_t>();
  for (int64_t s = 0; s < size.sequences; ++s) {
    if (ends[s] == (s == 0 ? 0 : ends[s - 1])) {
      fail(ErrorCode::invalid_argument, "dpoStep: the ", s % 2 == 0 ? "chosen" : "rejected", " answer of pair ", s / 2,
           " has no row with a target; an answer has at least one token");
    }
  }
}

}  // namespace

Trainer::Trainer(std::shared_ptr<Model> model, const TrainerCapacity& capacity)
    : model_(expect_model(model)), batch_(model->shared_backend(), capacity),
      activation_arena_(build_activations(model->shared_backend(), model->config(), model->dtype(),
                                          {capacity.max_tokens, capacity.max_tokens, capacity.training},
                                          activations_)),
      transformer_(model->backend(), model->config(), model->weights(), model->inv_freq()) {
  if (capacity.training) optimizer_.emplace(*model_);
}

Optimizer& Trainer::optimizer() {
  if (!optimizer_) {
    fail(ErrorCode::unsupported, "this trainer was made with training: false and has no gradients; make one with true");
  }
  return *optimizer_;
}

void Trainer::logps(const BatchSize& size) {
  const ScoredBatch batch = batch_.prepare(size, model_->config());
  if (batch.scored > 0) {
    const Activations a = activations_.sized(size.tokens, batch.scored);
    transformer_.forward_scored(a, batch.packed);
    model_->backend().run(LmHeadForward{.logps = batch.logps, .x = a.scored_norm, .weight = model_->weights().lm_head,
                                        .targets = batch.targets});
  }
  batch_.publish(batch);
}

double Trainer::sft_step(const BatchSize& size) {
  optimizer();
  const ScoredBatch batch = batch_.prepare(size, model_->config());
  if (batch.scored == 0) {
    batch_.publish(batch);
    return 0;
  }
  const float* weights = buffers().weights.as<float>();
  const int32_t* rows = batch.packed.scored_rows.as<int32_t>();
  for (int64_t m = 0; m < batch.scored; ++m) {
    const float weight = weights[rows[m]];
    if (!std::isfinite(weight)) {
      fail(ErrorCode::invalid_argument, "batch: weights[", rows[m], "] is ", weight, ", expected a finite number");
    }
    batch.dlogps.as<float>()[m] = -weight;
  }
  const Activations a = activations_.sized(size.tokens, batch.scored);
  transformer_.forward_scored(a, batch.packed);
  backward(batch, a, head_loss(batch, a));
  double loss = 0;
  for (int64_t m = 0; m < batch.scored; ++m) {
    loss += double{batch.dlogps.as<float>()[m]} * batch.logps.as<float>()[m];
  }
  return loss;
}

double Trainer::dpo_step(const BatchSize& size, const PreferenceOptions& options) {
  optimizer();
  const ScoredBatch batch = batch_.prepare(size, model_->config());
  expect_pairs(size, batch);
  PreferenceLoss preference = preference_loss(batch, options);
  preference.check();
  const Activations a = activations_.sized(size.tokens, batch.scored);
  transformer_.forward_scored(a, batch.packed);
  LmHeadLoss head = head_loss(batch, a);
  Backend& backend = model_->backend();
  if (const auto chunks = chunks_of_whole_pairs(batch)) {
    head.chunk_ends = *chunks;
    head.on_chunk = [&](int64_t, int64_t end) {
      const int32_t* ends = batch.sequence_ends.as<int32_t>();
      preference.pair_begin = preference.pair_end;
      while (preference.pair_end < size.sequences / 2 && ends[2 * preference.pair_end + 1] <= end) {
        ++preference.pair_end;
      }
      backend.run(preference);
    };
  } else {  // a pair longer than a chunk: its loss needs log-probs that the chunk does not have, so take them before
    backend.run(LmHeadForward{.logps = batch.logps, .x = a.scored_norm, .weight = head.weight,
                              .targets = batch.targets});
    preference.pair_end = size.sequences / 2;
    backend.run(preference);
  }
  backward(batch, a, head);
  double pair_losses = 0, chosen_logps = 0;
  for (int64_t pair = 0; pair < size.sequences / 2; ++pair) {
    pair_losses += buffers().pair_losses.as<float>()[pair];
    chosen_logps += batch.sequence_logps.as<float>()[2 * pair];
  }
  return options.pair_weight * pair_losses - options.nll_weight * chosen_logps;
}

LmHeadLoss Trainer::head_loss(const ScoredBatch& batch, const Activations& a) {
  return {.logps = batch.logps, .dx = first_rows(a.dnorm, batch.scored),
          .dweight = optimizer().gradients().lm_head, .dlogps = batch.dlogps, .x = a.scored_norm,
          .weight = model_->weights().lm_head, .targets = batch.targets, .chunk_ends = plain_chunks(batch.scored),
          .on_chunk = {}};
}

PreferenceLoss Trainer::preference_loss(const ScoredBatch& batch, const PreferenceOptions& options) const {
  const int64_t sequences = batch.sequence_ends.dim(0);
  return {.dlogps = batch.dlogps, .losses = buffers().pair_losses.rows(0, sequences / 2),
          .sequence_logps = batch.sequence_logps, .logps = batch.logps, .sequence_ends = batch.sequence_ends,
          .reference_logps = buffers().reference_logps.rows(0, sequences), .pair_begin = 0, .pair_end = 0,
          .kind = options.kind, .length_normalize = options.length_normalize,
          .beta = static_cast<float>(options.beta), .label_smoothing = static_cast<float>(options.label_smoothing),
          .pair_weight = static_cast<float>(options.pair_weight), .nll_weight = static_cast<float>(options.nll_weight)};
}

std::optional<std::vector<int64_t>> Trainer::chunks_of_whole_pairs(const ScoredBatch& batch) const {
  std::vector<int64_t> chunk_ends;
  int64_t chunk_begin = 0, pair_begin = 0;
  for (int64_t s = 1; s < batch.sequence_ends.dim(0); s += 2) {
    const int64_t pair_end = batch.sequence_ends.as<int32_t>()[s];
    if (pair_end - pair_begin > kChunkRows) return std::nullopt;
    if (pair_end - chunk_begin > kChunkRows) {
      chunk_ends.push_back(pair_begin);
      chunk_begin = pair_begin;
    }
    pair_begin = pair_end;
  }
  chunk_ends.push_back(pair_begin);
  return chunk_ends;
}

void Trainer::backward(const ScoredBatch& batch, const Activations& a, const LmHeadLoss& loss) {
  model_->backend().run(loss);
  transformer_.backward(a, batch.packed, optimizer().gradients(), loss.dx);
  batch_.publish(batch);
}

std::vector<MemoryRow> Trainer::memory() const {
  std::vector<MemoryRow> rows = {batch_.arena().row(), activation_arena_.row()};
  if (optimizer_) {
    for (const MemoryRow& row : optimizer_->memory()) rows.push_back(row);
  }
  return rows;
}

}  // namespace selfrefine
