// Admission by free rows and free pages. All decisions follow from the order of submission, so a run is repeatable.
#include "engine/schedule.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace selfrefine {

void Schedule::reset(int64_t max_new_tokens) {
  queue_.clear();
  active_.clear();
  pages_.reset();
  waiting_samples_ = 0;
  max_new_tokens_ = max_new_tokens;
}

/// All pages of a sample, those shared with its prompt included. The last token drawn is never cached.
int64_t Schedule::pages_of_sample(const WaitingPrompt& prompt) const {
  return pages_for(static_cast<int64_t>(prompt.tokens.size()) + max_new_tokens_ - 1);
}

void Schedule::submit(int32_t number, std::vector<int32_t> tokens, int64_t samples) {
  const auto length = static_cast<int64_t>(tokens.size());
  const auto reject = [&](const auto&... why) { fail(ErrorCode::invalid_argument, "submit: prompt ", number, why...); };
  if (length < 1) reject(" has no tokens, expected at least one (the beginning-of-sequence token, for example)");
  if (samples < 1) reject(" asks for ", samples, " samples, expected 1 or more");
  if (max_new_tokens_ > limits_.max_length - length) {
    reject(" has ", length, " tokens, and ", max_new_tokens_, " new ones make more than maxLength (",
           limits_.max_length, ")");
  }
  if (length - 1 > limits_.max_prefill_tokens) {
    reject(" has ", length, " tokens, more than maxPrefillTokens (", limits_.max_prefill_tokens, ")");
  }
  WaitingPrompt prompt;
  prompt.number = number;
  prompt.tokens = std::move(tokens);
  prompt.samples = samples;
  const bool copies = samples > 1 && prompt.cached_tokens() % limits_.page_size != 0;
  const int64_t needed = pages_of_sample(prompt) + (copies ? 1 : 0);
  if (needed > pages_.total()) {
    reject(" needs ", needed * limits_.page_size, " positions of cache for one sample, the cache holds ",
           pages_.total() * limits_.page_size, "; make the sampler with more cacheTokens");
  }
  waiting_samples_ += samples;
  queue_.push_back(std::move(prompt));
}

Admission Schedule::admit() {
  Admission admission;
  int64_t prefill_room = limits_.max_prefill_tokens;
  while (!queue_.empty() && static_cast<int64_t>(active_.size()) < limits_.max_batch) {
    WaitingPrompt& prompt = queue_.front();
    if (!prompt.cached && !cache_prompt(prompt, prefill_room, admission)) break;
    if (!admit_sample(prompt, admission)) break;
    if (prompt.next_sample == prompt.samples) {
      pages_.release(prompt.full_pages);
      queue_.pop_front();
    }
  }
  return admission;
}

bool Schedule::cache_prompt(WaitingPrompt& prompt, int64_t& prefill_room, Admission& admission) {
  const int64_t cached = prompt.cached_tokens(), pages = pages_for(cached);
  // Room for a first sample is asked at once: a prompt that waits with its pages taken would keep others from finishing
  // sooner, and gain nothing.
  const bool copies = prompt.samples > 1 && cached % limits_.page_size != 0;
  if (cached > prefill_room || pages_of_sample(prompt) + (copies ? 1 : 0) > pages_.available()) return false;
  prompt.full_pages = pages_.take(pages);
  if (cached > 0) {
    admission.prefills.push_back({{prompt.tokens.begin(), prompt.tokens.end() - 1}, prompt.full_pages});
  }
  if (cached % limits_.page_size != 0) {
    prompt.partial_page = prompt.full_pages.back();
    prompt.full_pages.pop_back();
  }
  prefill_room -= cached;
  prompt.cached = true;
  return true;
}

bool Schedule::admit_sample(WaitingPrompt& prompt, Admission& admission) {
  const bool last = prompt.next_sample + 1 == prompt.samples;
  const bool inherits = last && prompt.partial_page >= 0;  // nobody else will read that page
  const auto shared = static_cast<int64_t>(prompt.full_pages.size()) + (inherits ? 1 : 0);
  const int64_t own = pages_of_sample(prompt) - shared;
  if (own > pages_.available()) return false;
  ActiveSample sample;
  sample.prompt = prompt.number;
  sample.sample = static_cast<int32_t>(prompt.next_sample++);
  sample.position = static_cast<int32_t>(prompt.cached_tokens());
  sample.last_token = prompt.tokens.back();
  sample.pages = prompt.full_pages;
  pages_.share(prompt.full_pages);
  if (inherits) sample.pages.push_back(prompt.partial_page);
  const std::vector<int32_t> taken = pages_.take(own);
  if (!inherits && prompt.partial_page >= 0) admission.copies.push_back({prompt.partial_page, taken.front()});
  sample.pages.insert(sample.pages.end(), taken.begin(), taken.end());
  sample.tokens.reserve(static_cast<size_t>(max_new_tokens_));
  sample.logps.reserve(static_cast<size_t>(max_new_tokens_));
  active_.push_back(std::move(sample));
  --waiting_samples_;
  return true;
}

void Schedule::finish(const std::vector<bool>& ended) {
  size_t kept = 0;
  for (size_t row = 0; row < active_.size(); ++row) {
    if (ended[row]) {
      pages_.release(active_[row].pages);
    } else {
      if (kept != row) active_[kept] = std::move(active_[row]);
      ++kept;
    }
  }
  active_.resize(kept);
}

}  // namespace selfrefine
