// The loss head: hidden rows -> log-probability of each row's target, in chunks of rows so that logits never exist
// whole. Every loss of the trainer is a choice of dlogps = d loss / d logp; the head knows nothing else of it.
//   logits = x weight^T (f32)               logp[m] = logits[m, target] - lse[m]
//   dlogits[m, v] = 1[v = target] - p[m, v], the gradient of logp[m]
//   dx[m] = dlogps[m] sum_v dlogits[m, v] weight[v]      dweight[v] += sum_m dlogits[m, v] dlogps[m] x[m]
// dlogits and dlogps[m] x[m] are stored as T. What is as large as the logits need not wait for the loss: dlogps is a
// factor of rows of C numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/tensor.h"

namespace selfrefine {

/// Log-probabilities alone: for reference scores and evaluation.
struct LmHeadForward {
  Tensor logps;    // (M) f32
  Tensor x;        // (M, C) T
  Tensor weight;   // (V, C) T
  Tensor targets;  // (M) i32, each in [0, V)
  void check() const;
};

/// Columns of `metrics`, what the pass tells of each row for the log of a training. With p the softmax of the row:
/// its entropy -sum_v p[v] log p[v] in nats, 1 if no token is likelier than the target, else (and where logp is NaN) 0,
/// and the mean of its V logits.
enum HeadMetric : int64_t { kEntropy, kIsCorrect, kMeanLogit, kHeadMetrics };

/// What a pass over a chunk's logits makes of them: a part of LmHeadLoss that tests and benches can see.
struct LmHeadRows {
  Tensor logps;    // (M) f32
  Tensor metrics;  // (M, 3) f32, or absent
  Tensor dlogits;  // (M, V) T; may be the memory of logits if T is float32
  Tensor logits;   // (M, V) f32, worthless afterwards
  Tensor targets;  // (M) i32, each in [0, V)
  void check() const;
};

/// Forward and backward in one pass over the logits: three GEMMs a chunk, none repeated; two where dweight is absent.
/// Rows are processed in chunks that end at `chunk_ends` (increasing, the last is M). When a chunk's logps are known
/// and before its gradient is taken, `on_chunk(begin, end)` is called if set: it may fill dlogps[begin, end), for
/// example with the gradient of a preference loss whose pairs lie whole inside the chunk. Else dlogps is an input.
struct LmHeadLoss {
  Tensor logps;    // (M) f32
  Tensor metrics;  // (M, 3) f32, or absent; logps, dx and dweight are the same bits with and without
  Tensor dx;       // (M, C) T
  Tensor dweight;  // (V, C) f32 +=, or absent: the head is frozen
  Tensor dlogps;   // (M) f32
  Tensor x;        // (M, C) T
  Tensor weight;   // (V, C) T
  Tensor targets;  // (M) i32
  std::vector<int64_t> chunk_ends;
  std::function<void(int64_t begin, int64_t end)> on_chunk;
  void check() const;
};

}  // namespace selfrefine
