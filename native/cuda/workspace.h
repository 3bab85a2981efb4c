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

/// Floats of the logits of a chunk and, where the storage type is narrower, of their gradient behind them.
inline int64_t head_loss_floats(int64_t rows, int64_t vocab_size, bool narrow) {
  const int64_t logits = (rows * vocab_size + 63) / 64 * 64;
  return narrow ? logits + (logits + 1) / 2 : logits;
}

}  // namespace selfrefine::cuda
