// A step is: check the batch, forward, loss head (which takes the loss's gradient on the way), backward. It returns
// when the loss is known, though a GPU may be at the backward pass until the next mark: meanwhile the host prepares and
// queues the next batch. That hides its launches, 26 a layer and a few more of 2 to 3 us each, so that they are not
// recorded as a graph, which would not fit the next batch: its shapes are others.
#include "engine/trainer.h"

#include <algorithm>
#include <functional>

#include "core/error.h"

namespace selfrefine {

namespace {

std::vector<int64_t> plain_chunks(int64_t rows, int64_t chunk_rows) {
  std::vector<int64_t> ends;
  for (int64_t end = chunk_rows; end < rows; end += chunk_rows) ends.push_back(end);
  ends.push_back(rows);
  return ends;
}

const std::shared_ptr<Model>& expect_model(const std::shared_ptr<Model>& model) {
  if (!model) fail(ErrorCode::disposed, "trainer: the model was disposed");
  return model;
}

void expect_pairs(const ScoredBatch& batch) {
  const int64_t sequences = batch.sequence_ends.dim(0);
  if (sequences < 2 || sequences % 2 != 0) {
    fail(ErrorCode::invalid_argument, "dpoStep: sequences is ", sequences,
         ", expected an even number, 2 or more: chosen and rejected of each pair");
  }
  const int32_t* ends = batch.sequence_ends.as<int32_t>();
  for (int64_t s = 0; s < sequences; ++s) {
    if (ends[s] == (s == 0 ? 0 : ends[s - 1])) {
      fail(ErrorCode::invalid_argument, "dpoStep: the ", s % 2 == 0 ? "chosen" : "rejected", " answer of pair ", s / 2,
           " has no row with a target; an answer has at least one token");
    }
  }
}

/// Calls each(begin, end) for the scored rows of each pair.
template <typename Each>
void for_each_pair(const ScoredBatch& batch, const Each& each) {
  int64_t begin = 0;
  for (int64_t s = 1; s < batch.sequence_ends.dim(0); s += 2) {
    const int64_t end = batch.sequence_ends.as<int32_t>()[s];
    each(begin, end);
    begin = end;
  }
}

/// Chunks of the loss head that only pairs longer than a chunk straddle.
std::vector<int64_t> chunks_of_pairs(const ScoredBatch& batch, int64_t chunk_rows) {
  std::vector<int64_t> chunk_ends;
  int64_t chunk_begin = 0;
  const auto cut = [&](int64_t row) { chunk_ends.push_back(chunk_begin = row); };
  for_each_pair(batch, [&](int64_t begin, int64_t end) {
    if (end - chunk_begin > chunk_rows && begin > chunk_begin) cut(begin);
    while (end - chunk_begin > chunk_rows) cut(chunk_begin + chunk_rows);
  });
  cut(batch.scored);
  return chunk_ends;
}

/// Moves the range of pairs on to those that end at or before this row.
void advance(PreferenceLoss& preference, int64_t end_row) {
  const int32_t* ends = preference.sequence_ends.as<int32_t>();
  preference.pair_begin = preference.pair_end;
  while (preference.pair_end < preference.losses.dim(0) && ends[2 * preference.pair_end + 1] <= end_row) {
    ++preference.pair_end;
  }
}

/// Adds rows [begin, end), in double: where a step was cut shows in no figure that is logged.
void add_rows(TokenSums& sums, const ScoredBatch& batch, int64_t begin, int64_t end) {
  for (int64_t m = begin; m < end; ++m) {
    const float* metrics = batch.metrics.as<float>() + m * kHeadMetrics;
    ++sums.tokens;
    sums.entropy += metrics[kEntropy];
    sums.correct += metrics[kIsCorrect];
    sums.mean_logits += metrics[kMeanLogit];
  }
}

/// The weighted loss of all pairs, from what the op wrote for each.
double total(const PreferenceLoss& preference, const PreferenceOptions& options) {
  double pair_losses = 0, chosen_logps = 0;
  for (int64_t pair = 0; pair < preference.losses.dim(0); ++pair) {
    pair_losses += preference.losses.as<float>()[pair];
    chosen_logps += preference.sequence_logps.as<float>()[2 * pair];
  }
  return options.pair_weight * pair_losses - options.nll_weight * chosen_logps;
}

}  // namespace

Trainer::Trainer(std::shared_ptr<Model> model, const TrainerCapacity& capacity)
    : model_(expect_model(model)), batch_(model->shared_backend(), capacity),
      activation_arena_(build_activations(model->shared_backend(), model->config(), model->adapter(), model->dtype(),
                                          {capacity.max_tokens, capacity.max_tokens, capacity.training},
                                          activations_)),
      transformer_(model->backend(), model->config(), model->weights(), model->adapter(), model->inv_freq()) {
  if (capacity.training) optimizer_.emplace(*model_);
}

Optimizer& Trainer::optimizer() {
  if (!optimizer_) {
    fail(ErrorCode::unsupported, "this trainer was made with training: false and has no gradients; make one with true");
  }
  return *optimizer_;
}

void Trainer::expect_trainable() {
  optimizer();
  model_->expect_trainable();
}

Activations Trainer::forward(const ScoredBatch& batch) {
  Activations a = activations_.sized(batch.packed.tokens.dim(0), batch.scored);
  transformer_.forward_scored(a, batch.packed);
  return a;
}

void Trainer::logps() {
  const ScoredBatch batch = batch_.prepare(model_->config());
  if (batch.scored > 0) {
    model_->backend().run(LmHeadForward{.logps = batch.logps, .x = forward(batch).scored_norm,
                                        .weight = model_->weights().lm_head, .targets = batch.targets});
  }
  model_->backend().mark();
  batch_.publish(batch);
}

SftResult Trainer::sft_step() {
  expect_trainable();
  const ScoredBatch batch = batch_.prepare(model_->config());
  if (batch.scored == 0) {
    batch_.publish(batch);
    return {};
  }
  float* dlogps = batch.dlogps.as<float>();
  batch_.read_weights(batch, batch.dlogps);
  std::transform(dlogps, dlogps + batch.scored, dlogps, std::negate<>());
  const Activations a = forward(batch);
  backward(batch, a, head_loss(batch, a));
  SftResult result;
  for (int64_t m = 0; m < batch.scored; ++m) result.loss += double{dlogps[m]} * batch.logps.as<float>()[m];
  add_rows(result.scored, batch, 0, batch.scored);
  return result;
}

DpoResult Trainer::dpo_step(const PreferenceOptions& options) {
  expect_trainable();
  const ScoredBatch batch = batch_.prepare(model_->config());
  expect_pairs(batch);
  PreferenceLoss preference = preference_loss(batch, options);
  preference.check();
  const Activations a = forward(batch);
  LmHeadLoss head = head_loss(batch, a);
  take_long_pairs(batch, a, preference);
  head.chunk_ends = chunks_of_pairs(batch, head_chunk_rows());
  head.on_chunk = [&](int64_t, int64_t end) {
    advance(preference, end);
    model_->backend().run(preference);
  };
  backward(batch, a, head);
  DpoResult result = {.loss = total(preference, options), .chosen = {}, .rejected = {}};
  int64_t begin = 0;
  for (int64_t s = 0; s < batch.sequence_ends.dim(0); ++s) {
    const int64_t end = batch.sequence_ends.as<int32_t>()[s];
    add_rows(s % 2 == 0 ? result.chosen : result.rejected, batch, begin, end);
    begin = end;
  }
  return result;
}

/// The losses of pairs longer than a chunk of the loss head: they need log-probs that the pair's first chunk does not
/// have.
void Trainer::take_long_pairs(const ScoredBatch& batch, const Activations& a, PreferenceLoss preference) {
  for_each_pair(batch, [&](int64_t begin, int64_t end) {
    preference.pair_begin = preference.pair_end++;
    if (end - begin <= head_chunk_rows()) return;
    model_->backend().run(LmHeadForward{.logps = batch.logps.rows(begin, end), .x = a.scored_norm.rows(begin, end),
                                        .weight = model_->weights().lm_head,
                                        .targets = batch.targets.rows(begin, end)});
    model_->backend().run(preference);
  });
}

int64_t Trainer::head_chunk_rows() const { return model_->backend().head_chunk_rows(model_->config().vocab_size); }

LmHeadLoss Trainer::head_loss(const ScoredBatch& batch, const Activations& a) {
  return {.logps = batch.logps, .metrics = batch.metrics, .dx = first_rows(a.dnorm, batch.scored),
          .dweight = optimizer().gradients().weights.lm_head, .dlogps = batch.dlogps, .x = a.scored_norm,
          .weight = model_->weights().lm_head, .targets = batch.targets,
          .chunk_ends = plain_chunks(batch.scored, head_chunk_rows()), .on_chunk = {}};
}

PreferenceLoss Trainer::preference_loss(const ScoredBatch& batch, const PreferenceOptions& options) const {
  const int64_t pairs = batch.sequence_ends.dim(0) / 2;
  return {.dlogps = batch.dlogps, .losses = batch_.outputs().pair_losses.rows(0, pairs),
          .sequence_logps = batch.sequence_logps, .logps = batch.logps, .sequence_ends = batch.sequence_ends,
          .reference_logps = batch.reference_logps, .pair_begin = 0, .pair_end = 0,
          .kind = options.kind, .length_normalize = options.length_normalize,
          .beta = static_cast<float>(options.beta), .label_smoothing = static_cast<float>(options.label_smoothing),
          .pair_weight = static_cast<float>(options.pair_weight), .nll_weight = static_cast<float>(options.nll_weight)};
}

void Trainer::backward(const ScoredBatch& batch, const Activations& a, const LmHeadLoss& loss) {
  model_->backend().run(loss);
  model_->backend().mark();
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
