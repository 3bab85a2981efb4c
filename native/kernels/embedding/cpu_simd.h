// The scatter-add of the embedding: rows in order, so that each token's sum has one order of terms.
#pragma once

#include "cpu/view.h"
#include "kernels/embedding/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace embedding {

void backward(const EmbeddingBackward& op, int64_t bucket, int64_t buckets, int64_t begin, int64_t end) {
  by_type(op.dout, [&](auto type) {
    using T = decltype(type);
    const int64_t rows = dim(op.dout, 0), c = dim(op.dout, 1);
    const int32_t* tokens = data<int32_t>(op.tokens);
    for (int64_t n = 0; n < rows; ++n) {
      if (tokens[n] % buckets != bucket) continue;
      const T* from = data<T>(op.dout) + n * c + begin;
      float* to = data<float>(op.dweight) + tokens[n] * c + begin;
      for_lanes(end - begin, [&](int64_t i, int lanes) {
        store_n(to + i, load_n(to + i, lanes) + load_n(from + i, lanes), lanes);
      });
    }
  });
}

constexpr EmbeddingKernels table{backward};

}  // namespace embedding
SELFREFINE_ISA_END
