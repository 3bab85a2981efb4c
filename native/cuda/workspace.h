// Sizes of the large work areas of the CUDA backend: for the backend, and for those who count its memory without it.
// Plain C++.
#pragma once

#include <algorithm>
#include <cstdint>

namespace selfrefine::cuda {

/// Rows of a chunk of log-probs where the caller has not said; the logits of all rows of a chunk are there at a time.
inline int64_t head_forward_rows(int64_t rows, int64_t vocab_size) {
  constexpr int64_t kLogits = int64_t{1} << 27, kRows = 8192;  // 512 MiB
  return std::clamp(kLogits / vocab_size, int64_t{1}, std::min(rows, kRows));
}

/// Rows of a chunk of the loss head in training: each chunk reads and writes the whole gradient of the head's weight,
/// so it has as many rows as 1.5 GiB of logits and their gradients allow.
inline int64_t head_loss_rows(int64_t vocab_size) {
  constexpr int64_t kLogits = int64_t{1} << 28, kFewest = 512, kMost = 8192, kMultiple = 128;
  return std::clamp(kLogits / vocab_size / kMultiple * kMultiple, kFewest, kMost);
}

/// The work area of the loss head in training. It begins with the logits of a chunk.
struct HeadLossArea {
  int64_t dlogits;  // their gradient: in their place, but behind them where the storage type is narrower
  int64_t rows;     // `hidden_size` floats a row, for when the gradient is there: where nothing is read any more
  int64_t floats;   // of all
};

inline HeadLossArea head_loss_area(int64_t rows, int64_t vocab_size, int64_t hidden_size, bool narrow) {
  const auto padded = [](int64_t floats) { return (floats + 63) / 64 * 64; };
  if (!narrow) return {0, padded(rows * vocab_size), padded(rows * vocab_size) + rows * hidden_size};
  const int64_t behind = padded(rows * std::max(vocab_size, hidden_size));
  return {behind, 0, behind + (rows * vocab_size + 1) / 2};
}

}  // namespace selfrefine::cuda
