// AdamW and the sum of squares on the CPU, in blocks of elements.
#include <cmath>
#include <vector>

#include "cpu/cpu_backend.h"

namespace selfrefine {

namespace {

constexpr int64_t kBlock = 16384;  // elements of a task

AdamWFactors factors_of(const AdamWStep& op) {
  const double step = static_cast<double>(op.step);
  return {op.gradient_scale,
          static_cast<float>(1 - op.learning_rate * op.weight_decay),
          static_cast<float>(op.beta1),
          static_cast<float>(1 - op.beta1),
          static_cast<float>(op.beta2),
          static_cast<float>(1 - op.beta2),
          static_cast<float>(1 / std::sqrt(1 - std::pow(op.beta2, step))),
          static_cast<float>(op.eps),
          static_cast<float>(op.learning_rate / (1 - std::pow(op.beta1, step)))};
}

}  // namespace

void CpuBackend::compute(const SumOfSquares& op) {
  const float* x = op.x.as<float>();
  std::vector<double> sums(static_cast<size_t>((op.x.dim(0) + kBlock - 1) / kBlock));
  parallel_blocks(op.x.dim(0), kBlock, [&](int64_t begin, int64_t end, int) {
    sums[static_cast<size_t>(begin / kBlock)] = isa_.optimizer.sum_of_squares(x + begin, end - begin);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  op.out.as<double>()[0] = total;
}

void CpuBackend::compute(const AdamWStep& op) {
  const AdamWFactors factors = factors_of(op);
  parallel_blocks(op.parameter.dim(0), kBlock,
                  [&](int64_t begin, int64_t end, int) { isa_.optimizer.adamw(op, factors, begin, end); });
}

}  // namespace selfrefine
