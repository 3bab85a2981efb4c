// The loop of generation: admit, fill prompts, decode one step, take out what ended.
#include "engine/sampler.h"

#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace selfrefine {

namespace {

/// Positions of a cache page: small, because a sample's last page is wasted by half on average.
constexpr int64_t kPageSize = 16;

void expect_capacity(const char* field, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    fail(ErrorCode::invalid_argument, "sampler: ", field, " is ", value, ", expected an integer from 1 to ", most);
  }
}

ScheduleLimits limits_of(const std::shared_ptr<Model>& model, const SamplerCapacity& capacity) {
  if (!model) fail(ErrorCode::disposed, "sampler: the model was disposed");
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  expect_capacity("maxBatch", capacity.max_batch, kMost);
  expect_capacity("maxPrefillTokens", capacity.max_prefill_tokens, kMost);
  expect_capacity("cacheTokens", capacity.cache_tokens, kMost - kPageSize);  // slots are int32
  expect_capacity("maxLength", capacity.max_length, model->config().max_position_embeddings);
  return {.max_batch = capacity.max_batch,
          .max_length = capacity.max_length,
          .max_prefill_tokens = capacity.max_prefill_tokens,
          .pages = (capacity.cache_tokens + kPageSize - 1) / kPageSize,
          .page_size = kPageSize};
}

void expect_option(const char* field, bool ok, double value, const char* wanted) {
  if (!ok) fail(ErrorCode::invalid_argument, field, " is ", value, ", expected ", wanted);
}

void check(const GenerationOptions& options) {
  const SamplingOptions& s = options.sampling;
  expect_option("temperature", s.temperature >= 0 && std::isfinite(s.temperature), s.temperature,
                "0 (greedy) or more");
  expect_option("topK", s.top_k >= 0 && s.top_k <= std::numeric_limits<int32_t>::max(),
                static_cast<double>(s.top_k), "0 (off) or more");
  expect_option("topP", s.top_p > 0 && s.top_p <= 1, s.top_p, "more than 0 and at most 1 (off)");
  expect_option("minP", s.min_p >= 0 && s.min_p < 1, s.min_p, "at least 0 (off) and less than 1");
  expect_option("maxNewTokens", options.max_new_tokens >= 1, static_cast<double>(options.max_new_tokens),
                "1 or more");
}

}  // namespace

Sampler::Sampler(std::shared_ptr<Model> model, const SamplerCapacity& capacity)
    : model_(model), limits_(limits_of(model, capacity)), graph_(*model, limits_), schedule_(limits_) {}

void Sampler::set_token_bytes(TokenBytes token_bytes) {
  const auto vocab_size = static_cast<size_t>(model_->config().vocab_size);
  const std::vector<int32_t>& offsets = token_bytes.offsets;
  if (offsets.size() != vocab_size + 1) {
    fail(ErrorCode::invalid_argument, "setTokenBytes: ", offsets.size(), " offsets, expected vocabSize + 1 = ",
         vocab_size + 1);
  }
  for (size_t t = 0; t < vocab_size; ++t) {
    if (offsets[t] < 0 || offsets[t] > offsets[t + 1] ||
        static_cast<size_t>(offsets[t + 1]) > token_bytes.bytes.size()) {
      fail(ErrorCode::invalid_argument, "setTokenBytes: token ", t, " has bytes [", offsets[t], ", ", offsets[t + 1],
           ") of ", token_bytes.bytes.size());
    }
  }
  begun_ = false;  // the matcher of a running generation looked at the old bytes
  token_bytes_ = std::move(token_bytes);
}

void Sampler::begin(const GenerationOptions& options) {
  check(options);
  model_->backend().synchronize();  // after an error in the middle of a step its ops may still read the batch
  stop_ = StopMatcher(options.stop_token_ids, options.stop_strings, token_bytes_, model_->config().vocab_size);
  options_ = options;
  schedule_.reset(options.max_new_tokens);
  generated_tokens_ = 0;
  weights_version_ = model_->version();
  begun_ = true;
}

void Sampler::submit(int32_t prompt, std::vector<int32_t> tokens, int64_t samples) {
  if (!begun_) fail(ErrorCode::invalid_argument, "submit: no generation was begun; call begin first");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= model_->config().vocab_size) {
      fail(ErrorCode::invalid_argument, "submit: token ", i, " of prompt ", prompt, " is ", tokens[i],
           ", expected 0 to ", model_->config().vocab_size - 1);
    }
  }
  schedule_.submit(prompt, std::move(tokens), samples);
}

RunResult Sampler::run(int64_t max_steps) {
  if (!begun_) fail(ErrorCode::invalid_argument, "run: no generation was begun; call begin first");
  if (max_steps < 1) fail(ErrorCode::invalid_argument, "run: maxSteps is ", max_steps, ", expected 1 or more");
  if (model_->version() != weights_version_) {
    fail(ErrorCode::invalid_argument, "run: the weights changed since begin; what is cached belongs to the old ones, "
         "begin again");
  }
  RunResult result;
  model_->freeze();
  begun_ = false;  // an error in the middle of a step leaves pages half filled: only begin() helps then
  for (int64_t i = 0; i < max_steps && schedule_.waiting() + std::ssize(schedule_.active()) > 0; ++i) step(result);
  begun_ = true;
  result.pending = schedule_.waiting() + std::ssize(schedule_.active());
  result.generated_tokens = generated_tokens_;
  return result;
}

void Sampler::step(RunResult& result) {
  const Admission admission = schedule_.admit();
  graph_.prefill(admission.prefills);
  for (const Admission::Copy& copy : admission.copies) graph_.copy_page(copy);
  std::vector<ActiveSample>& rows = schedule_.active();
  graph_.decode(rows, options_.sampling);
  generated_tokens_ += std::ssize(rows);
  size_t row = 0;
  for (size_t b = 0, batch = rows.size(); b < batch; ++b) {
    ActiveSample& sample = rows[row];
    sample.last_token = graph_.tokens()[b];
    ++sample.position;
    sample.tokens.push_back(sample.last_token);
    sample.logps.push_back(graph_.logps()[b]);
    const bool stopped = stop_.ends(sample.last_token, sample.tail);
    if (!stopped && std::ssize(sample.tokens) < options_.max_new_tokens) {
      ++row;
      continue;
    }
    ActiveSample done = schedule_.finish(row);
    result.finished.push_back({done.prompt, done.sample, std::move(done.tokens), std::move(done.logps), stopped});
  }
}

void Sampler::end() {
  begun_ = false;
  schedule_.reset(0);
  model_->thaw();
}

}  // namespace selfrefine
