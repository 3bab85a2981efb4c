// What an instruction set provides for the embedding's backward pass.
#pragma once

#include "kernels/embedding/op.h"

namespace selfrefine {

struct EmbeddingKernels {
  /// Adds columns [begin, end) of every dout row whose token is `bucket` modulo `buckets` to its row of dweight.
  void (*backward)(const EmbeddingBackward& op, int64_t bucket, int64_t buckets, int64_t begin, int64_t end);
};

}  // namespace selfrefine
