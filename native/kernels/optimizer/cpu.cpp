// AdamW and the sum of squares on the CPU, in blocks of elements.
#include <vector>

#include "cpu/cpu_backend.h"

namespace selfrefine {

namespace {

constexpr int64_t kBlock = 16384;  // elements of a task
static_assert(kBlock % AdamWStochasticStep::kGroup == 0);

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
  const AdamWFactors factors = op.factors();
  parallel_blocks(op.parameter.dim(0), kBlock,
                  [&](int64_t begin, int64_t end, int) { isa_.optimizer.adamw(op, factors, begin, end); });
}

void CpuBackend::compute(const AdamWStochasticStep& op) {
  const AdamWFactors factors = op.factors();
  parallel_blocks(op.parameter.dim(0), kBlock, [&](int64_t begin, int64_t end, int) {
    isa_.optimizer.adamw_stochastic(op, factors, begin, end);
  });
}

}  // namespace selfrefine
