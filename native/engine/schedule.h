// Continuous batching: which prompts and samples hold rows and cache pages. A sample gets all the pages it can ever
// need when it is admitted, so admitted samples always finish and free theirs: no deadlock, no preemption. Prompts are
// served in order. The last token of a prompt is no part of the cached prompt: each sample begins by decoding it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/page_allocator.h"

namespace selfrefine {

struct ScheduleLimits {
  int64_t max_batch = 0;
  int64_t max_length = 0;          // prompt plus completion
  int64_t max_prefill_tokens = 0;  // rows of one prefill pass
  int64_t pages = 0;
  int64_t page_size = 0;
};

/// A prompt that has samples to admit.
struct WaitingPrompt {
  int32_t number = 0;
  std::vector<int32_t> tokens;
  int64_t samples = 0;
  int64_t next_sample = 0;
  bool cached = false;
  std::vector<int32_t> full_pages;  // of tokens [0, P - 1), filled to the end: shared by the samples
  int32_t partial_page = -1;        // the last page, if only partly filled: copied for all samples but the last

  int64_t cached_tokens() const { return static_cast<int64_t>(tokens.size()) - 1; }
};

/// A sample being decoded.
struct ActiveSample {
  int32_t prompt = 0;
  int32_t sample = 0;
  int32_t position = 0;    // of the token to decode next
  int32_t last_token = 0;  // that token
  std::vector<int32_t> pages;
  std::vector<int32_t> tokens;  // drawn
  std::vector<float> logps;
  std::string tail;             // of the text, for stop strings
};

/// Work that admission made necessary before the next decode step: fill these pages, then copy these.
struct Admission {
  struct Prefill {
    std::vector<int32_t> tokens;
    std::vector<int32_t> pages;
  };
  struct Copy {
    int32_t from, to;
  };
  std::vector<Prefill> prefills;
  std::vector<Copy> copies;
};

class Schedule {
 public:
  explicit Schedule(const ScheduleLimits& limits) : limits_(limits), pages_(limits.pages) {}

  /// Drops everything.
  void reset(int64_t max_new_tokens);
  /// Throws ERR_INVALID_ARGUMENT if the prompt can never be served.
  void submit(int32_t number, std::vector<int32_t> tokens, int64_t samples);
  /// Admits as many samples as rows, pages and prefill allow.
  Admission admit();
  /// Takes these rows out and frees their pages; the order of the others stays.
  void finish(const std::vector<bool>& ended);

  std::vector<ActiveSample>& active() { return active_; }
  int64_t waiting() const { return waiting_samples_; }
  int64_t max_new_tokens() const { return max_new_tokens_; }

 private:
  int64_t pages_for(int64_t positions) const { return (positions + limits_.page_size - 1) / limits_.page_size; }
  int64_t pages_of_sample(const WaitingPrompt& prompt) const;
  bool cache_prompt(WaitingPrompt& prompt, int64_t& prefill_room, Admission& admission);
  bool admit_sample(WaitingPrompt& prompt, Admission& admission);

  ScheduleLimits limits_;
  PageAllocator pages_;
  std::deque<WaitingPrompt> queue_;
  std::vector<ActiveSample> active_;
  int64_t waiting_samples_ = 0;
  int64_t max_new_tokens_ = 0;
};

}  // namespace selfrefine
