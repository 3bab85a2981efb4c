// The norms on the CPU. Weight gradients are summed over blocks of rows, then over the blocks in order.
#include "cpu/cpu_backend.h"

namespace selfrefine {

void CpuBackend::compute(const RmsNormForward& op) {
  parallel_rows(op.x.dim(0), op.x.dim(1), [&](int64_t begin, int64_t end, int) {
    isa_.rmsnorm.forward(op, begin, end);
  });
}

void CpuBackend::compute(const RmsNormBackward& op) {
  if (!op.dweight) {  // the kernels make it anyway, of rows that are in the cache
    const ThreadScratch unused = thread_scratch(op.x.dim(1));
    return parallel_rows(op.x.dim(0), op.x.dim(1), [&](int64_t begin, int64_t end, int thread) {
      isa_.rmsnorm.backward(op, begin, end, unused.of(thread));
    });
  }
  add_row_blocks(op.dweight.as<float>(), op.x.dim(0), op.x.dim(1), [&](int64_t begin, int64_t end, float* dweight) {
    isa_.rmsnorm.backward(op, begin, end, dweight);
  });
}

void CpuBackend::compute(const HeadNormForward& op) {
  parallel_rows(op.x.dim(0), op.x.dim(1) * op.x.dim(2), [&](int64_t begin, int64_t end, int) {
    isa_.rmsnorm.head_forward(op, begin, end);
  });
}

void CpuBackend::compute(const HeadNormBackward& op) {
  const int64_t d = op.x.dim(2);
  std::vector<float> sums(static_cast<size_t>(2 * d));  // of both weights, whose gradients lie apart
  add_row_blocks(sums.data(), op.x.dim(0), 2 * d, [&](int64_t begin, int64_t end, float* dweights) {
    isa_.rmsnorm.head_backward(op, begin, end, dweights);
  });
  if (!op.dq_weight) return;
  isa_.row.add_blocks(op.dq_weight.as<float>(), sums.data(), 0, 1, d);
  isa_.row.add_blocks(op.dk_weight.as<float>(), sums.data() + d, 0, 1, d);
}

}  // namespace selfrefine
