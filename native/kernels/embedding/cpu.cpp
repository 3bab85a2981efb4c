// Embedding on the CPU. Backward, a task owns the tokens of one remainder and a range of columns: no two tasks write
// the same element, and each element's terms are added in the order of rows.
#include <algorithm>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

void CpuBackend::compute(const EmbeddingForward& op) {
  expect_in_range("embedding_forward", "tokens", op.tokens, 0, op.weight.dim(0));
  const int64_t c = op.out.dim(1), bytes = c * size_of(op.out.dtype);
  const int32_t* tokens = op.tokens.as<int32_t>();
  parallel_rows(op.out.dim(0), c, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      std::memcpy(op.out.as<char>() + n * bytes, op.weight.as<char>() + tokens[n] * bytes, static_cast<size_t>(bytes));
    }
  });
}

void CpuBackend::compute(const EmbeddingBackward& op) {
  expect_in_range("embedding_backward", "tokens", op.tokens, 0, op.dweight.dim(0));
  constexpr int64_t kBuckets = 8, kColumns = 256;
  const int64_t c = op.dout.dim(1), ranges = (c + kColumns - 1) / kColumns;
  pool_.parallel_for(kBuckets * ranges, [&](int64_t task, int) {
    const int64_t begin = task / kBuckets * kColumns;
    isa_.embedding.backward(op, task % kBuckets, kBuckets, begin, std::min(begin + kColumns, c));
  });
}

}  // namespace selfrefine
