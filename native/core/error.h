// The one exception type of the engine: a code that callers can branch on and a message that names what was
// got, what was wanted and the remedy. Knows nothing of Node; the binding maps it to a JavaScript error.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace selfrefine {

enum class ErrorCode {
  invalid_argument,
  shape,
  out_of_memory,
  io,
  unsupported,
  busy,
  disposed,
  aborted,
  cuda,
  internal,
};

/// The name JavaScript sees, for example "ERR_SHAPE".
const char* code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/// Joins its arguments through operator<<: concat("weight is (", 3, ")").
template <typename... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream text;
  (text << ... << std::forward<Parts>(parts));
  return text.str();
}

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, Parts&&... parts) {
  throw Error(code, concat(std::forward<Parts>(parts)...));
}

}  // namespace selfrefine
