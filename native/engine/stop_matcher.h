// When a completion ends: at a stop token, or when its bytes contain a stop string. Bytes, because a token may hold a
// part of a character, and a stop string may begin and end inside tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace selfrefine {

/// The bytes that each token adds to the text: token t adds bytes[offsets[t], offsets[t + 1]).
struct TokenBytes {
  std::string bytes;
  std::vector<int32_t> offsets;  // vocab_size + 1; empty: not known
};

class StopMatcher {
 public:
  StopMatcher() = default;
  /// Throws ERR_INVALID_ARGUMENT: a stop token outside of the vocabulary, an empty stop string, or stop strings
  /// without the bytes of tokens. `token_bytes` outlives the matcher.
  StopMatcher(const std::vector<int64_t>& stop_tokens, const std::vector<std::string>& stop_strings,
              const TokenBytes& token_bytes, int64_t vocab_size);

  /// True if `token` ends the completion. `tail` is the end of its text so far, kept between calls, at first empty.
  bool ends(int32_t token, std::string& tail) const;

 private:
  std::vector<bool> is_stop_token_;
  std::vector<std::string> stop_strings_;
  const TokenBytes* token_bytes_ = nullptr;
  size_t tail_length_ = 0;  // bytes of the past that a match can reach back to
};

}  // namespace selfrefine
