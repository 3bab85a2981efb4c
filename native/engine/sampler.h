// Generation on a borrowed model: prompts in, finished samples out. A sample is a function of weights, prompt tokens,
// prompt number, sample number and options alone: not of its batch, nor of when it was admitted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/decode_graph.h"
#include "engine/model.h"
#include "engine/schedule.h"
#include "engine/stop_matcher.h"

namespace selfrefine {

struct SamplerCapacity {
  int64_t max_batch = 0;           // sequences decoded together
  int64_t max_length = 0;          // longest prompt plus completion
  int64_t max_prefill_tokens = 0;  // rows of one prefill pass
  int64_t cache_tokens = 0;        // positions the cache can hold
  int64_t steps_per_look = 0;      // decode steps after which the host looks at what was drawn; 0: as the backend likes
};

struct GenerationOptions {
  SamplingOptions sampling;
  int64_t max_new_tokens = 0;
  std::vector<int64_t> stop_token_ids;
  std::vector<std::string> stop_strings;
};

struct FinishedSample {
  int32_t prompt = 0;
  int32_t sample = 0;
  std::vector<int32_t> tokens;  // new ones; one that ended the sample is the last
  std::vector<float> logps;     // of each, under the unmodified softmax
  bool stopped = false;         // by a stop token or string; else by its length
};

struct RunResult {
  std::vector<FinishedSample> finished;
  int64_t pending = 0;           // samples that wait or are being decoded
  int64_t generated_tokens = 0;  // since begin()
};

class Sampler {
 public:
  /// Throws ERR_INVALID_ARGUMENT or ERR_OUT_OF_MEMORY.
  Sampler(std::shared_ptr<Model> model, const SamplerCapacity& capacity);
  ~Sampler() { model_->thaw(); }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// Throws ERR_INVALID_ARGUMENT unless offsets are vocab_size + 1 increasing places in bytes.
  void set_token_bytes(TokenBytes token_bytes);
  /// Begins a generation and drops the one before. Throws ERR_INVALID_ARGUMENT on options out of range.
  void begin(const GenerationOptions& options);
  /// Throws ERR_INVALID_ARGUMENT if the prompt can never be served.
  void submit(int32_t prompt, std::vector<int32_t> tokens, int64_t samples);
  /// Up to max_steps decode steps. Throws ERR_INVALID_ARGUMENT if the weights changed since begin().
  RunResult run(int64_t max_steps);
  /// Releases cache pages and packed weights.
  void end();
  /// Runs the passes that need most memory, on the first of the cache's pages: a full prefill, and a full batch at the
  /// end of its length. For a model that is rehearsed.
  void rehearse();

  std::vector<MemoryRow> memory() const { return graph_.memory(); }

 private:
  /// Admits, decodes up to `most` steps, and takes out what ended; returns the number of steps.
  int64_t advance(int64_t most, RunResult& result);
  void collect(int64_t steps, RunResult& result);

  std::shared_ptr<Model> model_;
  ScheduleLimits limits_;
  int64_t steps_per_look_;
  DecodeGraph graph_;
  Schedule schedule_;
  TokenBytes token_bytes_;
  StopMatcher stop_;
  GenerationOptions options_;
  bool begun_ = false;
  bool placed_ = false;  // the graph knows the active rows
  uint64_t weights_version_ = 0;
  int64_t generated_tokens_ = 0;
};

}  // namespace selfrefine
