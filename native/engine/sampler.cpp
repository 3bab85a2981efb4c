// The loop of generation: admit, fill prompts, decode some steps, take out what ended.
#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace selfrefine {

namespace {

/// Positions of a cache page: small, because a sample's last page is wasted by half on average.
constexpr int64_t kPageSize = 16;

/// Steps between two looks where the host would make a device wait for each: a sample that ends wastes half of them on
/// average, of some hundreds; the wait for a look is that of a few launches, of thousands.
constexpr int64_t kRecordedSteps = 8, kMostSteps = 1024;

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

int64_t steps_per_look(const Backend& backend, const SamplerCapacity& capacity) {
  if (capacity.steps_per_look == 0) return backend.records() ? kRecordedSteps : 1;
  expect_capacity("stepsPerLook", capacity.steps_per_look, kMostSteps);
  return capacity.steps_per_look;
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
    : model_(model), limits_(limits_of(model, capacity)), steps_per_look_(steps_per_look(model->backend(), capacity)),
      graph_(*model, limits_, steps_per_look_), schedule_(limits_) {}

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
  graph_.begin(options.sampling, options.stop_token_ids);
  schedule_.reset(options.max_new_tokens);
  placed_ = false;
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
  for (int64_t done = 0; done < max_steps && schedule_.waiting() + std::ssize(schedule_.active()) > 0;) {
    done += advance(max_steps - done, result);
  }
  begun_ = true;
  result.pending = schedule_.waiting() + std::ssize(schedule_.active());
  result.generated_tokens = generated_tokens_;
  return result;
}

int64_t Sampler::advance(int64_t most, RunResult& result) {
  const size_t before = schedule_.active().size();
  const Admission admission = schedule_.admit();
  const std::vector<ActiveSample>& rows = schedule_.active();
  if (!placed_ || rows.size() != before) graph_.place(rows, options_.max_new_tokens);
  placed_ = true;
  graph_.prefill(admission.prefills);
  for (const Admission::Copy& copy : admission.copies) graph_.copy_page(copy);
  if (rows.empty()) fail(ErrorCode::internal, "sampler: nothing could be admitted");
  int64_t longest = 0;
  for (const ActiveSample& row : rows) longest = std::max(longest, options_.max_new_tokens - std::ssize(row.tokens));
  const int64_t steps = std::min({most, steps_per_look_, longest});
  graph_.decode(steps);
  collect(steps, result);
  return steps;
}

/// Step by step, so that samples finish in the order in which they ended. What a row drew after its end is dropped.
void Sampler::collect(int64_t steps, RunResult& result) {
  std::vector<ActiveSample>& rows = schedule_.active();
  std::vector<bool> ended(rows.size(), false);
  const size_t before = result.finished.size();
  for (int64_t step = 0; step < steps; ++step) {
    for (size_t b = 0; b < rows.size(); ++b) {
      if (ended[b]) continue;
      ActiveSample& sample = rows[b];
      ++sample.position;
      sample.last_token = graph_.drawn().token(static_cast<int64_t>(b), sample.position);
      sample.tokens.push_back(sample.last_token);
      sample.logps.push_back(graph_.drawn().logp(static_cast<int64_t>(b), sample.position));
      ++generated_tokens_;
      const bool stopped = stop_.ends(sample.last_token, sample.tail);
      if (!stopped && std::ssize(sample.tokens) < options_.max_new_tokens) continue;
      ended[b] = true;
      result.finished.push_back({sample.prompt, sample.sample, std::move(sample.tokens), std::move(sample.logps),
                                 stopped});
    }
  }
  if (result.finished.size() == before) return;
  schedule_.finish(ended);
  placed_ = false;
}

void Sampler::end() {
  begun_ = false;
  schedule_.reset(0);
  model_->thaw();
}

void Sampler::rehearse() {
  model_->freeze();
  const std::vector<int32_t> pages(static_cast<size_t>((limits_.max_length + kPageSize - 1) / kPageSize), 0);
  std::vector<Admission::Prefill> prompts;
  const int64_t longest = std::max<int64_t>(1, limits_.max_length - 1);
  for (int64_t rest = limits_.max_prefill_tokens; rest > 0; rest -= longest) {
    prompts.push_back({std::vector<int32_t>(static_cast<size_t>(std::min(rest, longest)), 0), pages});
  }
  ActiveSample last;
  last.position = static_cast<int32_t>(limits_.max_length - 1);
  last.pages = pages;
  graph_.begin({}, {});
  graph_.place(std::vector<ActiveSample>(static_cast<size_t>(limits_.max_batch), last), 1);
  graph_.prefill(prompts);
  graph_.decode(1);
}

}  // namespace selfrefine
