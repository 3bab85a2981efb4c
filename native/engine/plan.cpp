// The rehearsal: batches that fill a trainer's capacity, in the two ways that take most, and a sampler's widest passes.
#include "engine/plan.h"

#include <algorithm>

#include "core/error.h"

namespace selfrefine {

namespace {

/// Fills a trainer's inputs with groups of rows: one segment each, or for a preference loss prompt | chosen | rejected.
class BatchFiller {
 public:
  BatchFiller(const BatchInputs& inputs, const TrainerCapacity& capacity) : inputs_(inputs), capacity_(capacity) {}

  bool fits(int64_t tokens, int64_t segments) const {
    return size_.tokens + tokens <= capacity_.max_tokens && size_.segments + segments <= capacity_.max_segments;
  }

  void sequence(int64_t tokens) { segment(tokens, 0, 0, size_.sequences++, true); }

  void pair(int64_t tokens) {
    const int64_t answer = std::max<int64_t>(1, tokens / 3), prompt = tokens - 2 * answer;
    const auto begin = static_cast<int32_t>(size_.tokens), end = static_cast<int32_t>(begin + prompt);
    if (prompt > 0) segment(prompt, 0, 0, size_.sequences, false);
    for (int i = 0; i < 2; ++i) segment(answer, prompt > 0 ? begin : 0, prompt > 0 ? end : 0, size_.sequences++, true);
  }

  const BatchSize& size() const { return size_; }

 private:
  void segment(int64_t tokens, int32_t prefix_begin, int32_t prefix_end, int64_t sequence, bool scored) {
    const int64_t first = size_.tokens, offset = prefix_end - prefix_begin;
    for (int64_t i = 0; i < tokens; ++i) {
      inputs_.tokens.as<int32_t>()[first + i] = 0;
      inputs_.positions.as<int32_t>()[first + i] = static_cast<int32_t>(offset + i);
      inputs_.targets.as<int32_t>()[first + i] = scored ? 0 : -100;
      inputs_.weights.as<float>()[first + i] = 1;
      inputs_.sequence_of_row.as<int32_t>()[first + i] = scored ? static_cast<int32_t>(sequence) : -1;
    }
    const int32_t row[4] = {static_cast<int32_t>(first), static_cast<int32_t>(first + tokens), prefix_begin,
                            prefix_end};
    std::copy_n(row, 4, inputs_.segments.as<int32_t>() + 4 * size_.segments++);
    size_.tokens += tokens;
  }

  const BatchInputs& inputs_;
  TrainerCapacity capacity_;
  BatchSize size_;
};

/// As many rows or pairs of `length` tokens as there is room for; what is left is one of its own.
BatchSize fill(Trainer& trainer, bool preference, int64_t length, int64_t room) {
  TrainerCapacity capacity = trainer.batch().capacity();
  capacity.max_tokens = std::min(capacity.max_tokens, room);
  BatchFiller filler(trainer.batch().inputs(), capacity);
  const int64_t segments = preference ? 3 : 1, least = preference ? 2 : 1;
  while (filler.fits(least, segments)) {
    const int64_t tokens = std::min(length, capacity.max_tokens - filler.size().tokens);
    preference ? filler.pair(tokens) : filler.sequence(tokens);
  }
  return filler.size();
}

void step(Trainer& trainer, bool preference, int64_t length, int64_t room) {
  const BatchSize size = fill(trainer, preference, length, room);
  if (size.sequences == 0) return;
  trainer.batch().stage(size);
  if (!trainer.batch().capacity().training) return trainer.logps();
  if (!preference) {
    trainer.sft_step();
  } else {
    trainer.logps();
    trainer.dpo_step({});
  }
}

std::vector<MemoryRow> rehearse(const std::shared_ptr<Model>& model, const TrainingPlan& plan) {
  Trainer trainer(model, plan.capacity);
  constexpr int64_t kFewTokens = 144;  // products of few rows take other work areas
  const int64_t least = plan.preference ? 2 : 1, all = plan.capacity.max_tokens;
  const int64_t positions = model->config().max_position_embeddings;  // of a pair, prompt and one answer need them
  const int64_t most = std::min(all, plan.preference ? positions * 3 / 2 : positions);
  const int64_t longest = std::clamp(plan.row_length, least, std::max(least, most));
  const int64_t even = std::clamp(all / std::max<int64_t>(1, plan.rows), least, longest);
  step(trainer, plan.preference, longest, all);
  step(trainer, plan.preference, even, all);
  step(trainer, plan.preference, longest, kFewTokens);
  if (plan.capacity.training) trainer.optimizer().update({});
  return trainer.memory();
}

}  // namespace

std::vector<MemoryRow> plan_memory(const ModelConfig& config, ModelOptions options, const PlannedWork& work) {
  options.rehearsal = true;
  const auto model = std::make_shared<Model>(config, options);
  std::vector<MemoryRow> rows, more;
  if (work.training) more = rehearse(model, *work.training);
  if (work.sampling) {
    Sampler sampler(model, *work.sampling);
    sampler.rehearse();
    more = sampler.memory();
    rows = model->memory();  // before the sampler's end drops what was packed
  } else {
    rows = model->memory();
  }
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

int64_t available_bytes(const std::string& device) {
  return make_backend({.name = device, .threads = 1})->available_bytes();
}

}  // namespace selfrefine
