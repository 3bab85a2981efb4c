// What memory a piece of work will take, before any is taken: the model, its trainer or sampler are made as always and
// stepped once, on a backend that counts. So a plan and what is then allocated cannot drift apart.
#pragma once

#include <optional>
#include <vector>

#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/trainer.h"

namespace selfrefine {

struct TrainingPlan {
  TrainerCapacity capacity;
  bool preference = false;  // log-probs of a reference and a preference loss; else cross-entropy
  int64_t row_length = 0;   // tokens of the longest row, or of both answers of a pair with their prompt
  int64_t rows = 0;         // rows or pairs of a full micro-batch
};

/// What is planned: a model alone, or with one of these.
struct PlannedWork {
  std::optional<TrainingPlan> training;
  std::optional<SamplerCapacity> sampling;
};

/// The rows of memory() of model and trainer or sampler after a step. Arenas are exact. Work areas are those of full
/// micro-batches as described; on a GPU a bound. Throws ERR_INVALID_ARGUMENT; ERR_OUT_OF_MEMORY past 2^63 bytes.
std::vector<MemoryRow> plan_memory(const ModelConfig& config, ModelOptions options, const PlannedWork& work);

/// Bytes that a device may still give. Throws as make_backend does.
int64_t available_bytes(const std::string& device);

}  // namespace selfrefine
