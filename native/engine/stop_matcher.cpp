// Stop strings are few and short: a search of the tail after each token costs nothing beside the token.
#include "engine/stop_matcher.h"

#include <algorithm>

#include "core/error.h"

namespace selfrefine {

StopMatcher::StopMatcher(const std::vector<int64_t>& stop_tokens, const std::vector<std::string>& stop_strings,
                         const TokenBytes& token_bytes, int64_t vocab_size)
    : is_stop_token_(static_cast<size_t>(vocab_size), false), stop_strings_(stop_strings), token_bytes_(&token_bytes) {
  for (const int64_t token : stop_tokens) {
    if (token < 0 || token >= vocab_size) {
      fail(ErrorCode::invalid_argument, "stopTokenIds: ", token, " is not a token, expected 0 to ", vocab_size - 1);
    }
    is_stop_token_[static_cast<size_t>(token)] = true;
  }
  for (const std::string& text : stop_strings) {
    if (text.empty()) fail(ErrorCode::invalid_argument, "stopStrings: an empty string would end every completion");
    tail_length_ = std::max(tail_length_, text.size() - 1);
  }
  if (!stop_strings.empty() && token_bytes.offsets.empty()) {
    fail(ErrorCode::invalid_argument, "stopStrings need the bytes of each token: call setTokenBytes first");
  }
}

bool StopMatcher::ends(int32_t token, std::string& tail) const {
  if (is_stop_token_[static_cast<size_t>(token)]) return true;
  if (stop_strings_.empty()) return false;
  const auto begin = static_cast<size_t>(token_bytes_->offsets[static_cast<size_t>(token)]);
  const auto end = static_cast<size_t>(token_bytes_->offsets[static_cast<size_t>(token) + 1]);
  tail.append(token_bytes_->bytes, begin, end - begin);
  for (const std::string& text : stop_strings_) {
    if (tail.find(text) != std::string::npos) return true;
  }
  if (tail.size() > tail_length_) tail.erase(0, tail.size() - tail_length_);
  return false;
}

}  // namespace selfrefine
