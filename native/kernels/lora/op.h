// Low-rank adapters of frozen linear layers: y = x W^T + scale (x A^T) B^T.
// Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
// A fused layer (q|k|v, gate|up) is several linear layers, each with an adapter of its own or none. Its P adapters have
// one rank r; their A lie one below the other, and so do their B, R rows in all. `blocks` holds begin and end of each
// adapter's rows of the output, in order.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace selfrefine {

/// u = scale x a^T; out = x weight^T [+ bias] [+ residual], with u_p b_p^T added to the rows of block p, rounded once.
/// A row of out depends on its row of x alone, bit for bit, as in MatmulForward; with b all zero it is that of
/// MatmulForward, but where cuBLASLt computes that. Exception to "once": on cuda, where two products make one of both
/// pairs of operands (see CudaBackend::multiply_pairs), the adapters' part is rounded before it is added.
struct LoraForward {
  Tensor out;                   // (N, O) T
  Tensor u;                     // (N, P r) T, kept for the way back
  Tensor x;                     // (N, I) T
  Tensor weight;                // (O, I) T
  Tensor bias;                  // (O) T or absent
  Tensor residual;              // (N, O) T or absent, not the memory of out
  Tensor a;                     // (P r, I) T
  Tensor b;                     // (R, r) T
  std::vector<int64_t> blocks;  // 2 P
  float scale = 1;
  void check() const;
};

/// du_p = scale dout_p b_p; da += du^T x, db_p += dout_p^T u_p, where dout_p are the columns of block p.
struct LoraBackwardWeight {
  Tensor da;                    // (P r, I) f32 +=
  Tensor db;                    // (R, r) f32 +=
  Tensor du;                    // (N, P r) T, for LoraBackwardInput
  Tensor dout;                  // (N, O) T
  Tensor x;                     // (N, I) T
  Tensor u;                     // (N, P r) T
  Tensor b;                     // (R, r) T
  std::vector<int64_t> blocks;  // 2 P
  float scale = 1;
  void check() const;
};

/// dx = dout weight + du a.
struct LoraBackwardInput {
  Tensor dx;      // (N, I) T
  Tensor dout;    // (N, O) T
  Tensor weight;  // (O, I) T
  Tensor du;      // (N, P r) T
  Tensor a;       // (P r, I) T
  void check() const;
};

/// Calls f(p, begin, end, first) for each block p: its rows [begin, end) of the output have the rows of b from `first`.
template <typename F>
void for_each_block(const std::vector<int64_t>& blocks, F&& f) {
  int64_t first = 0;
  for (size_t p = 0; 2 * p < blocks.size(); ++p) {
    const int64_t begin = blocks[2 * p], end = blocks[2 * p + 1];
    f(static_cast<int64_t>(p), begin, end, first);
    first += end - begin;
  }
}

/// True if the one adapter is that of all rows of the output: b then has the shape of a plain linear layer.
inline bool is_whole(const std::vector<int64_t>& blocks, int64_t rows) {
  return blocks.size() == 2 && blocks[1] - blocks[0] == rows;
}

}  // namespace selfrefine
