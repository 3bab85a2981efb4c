// The loss head on the CPU. A chunk's logits are one product; they become exponentials, then the gradient of the
// logits, in place, and feed the two products of the backward pass. A bf16 gradient takes the first half of its row.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

constexpr int64_t kForwardRows = 256;  // rows of a chunk where the caller has not said

}  // namespace

/// logps of rows [begin, end). If sums is given, leaves exp(logit - highest) in logits_ and their sums there.
void CpuBackend::head_logps(const Tensor& x, const Tensor& weight, const Tensor& targets, const Tensor& logps,
                            int64_t begin, int64_t end, float* sums) {
  const int64_t v = weight.dim(0);
  float* logits = work_area(logits_, (end - begin) * v, "logits of a chunk of the loss head");
  matmul(Tensor(logits, DType::f32, {end - begin, v}), x.rows(begin, end), weight, {}, {});
  parallel_rows(end - begin, v, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      float* row = logits + i * v;
      const float highest = isa_.row.highest(row, v), target = row[targets.as<int32_t>()[begin + i]];
      const double sum = sums ? isa_.row.exps(row, row, v, highest, 1.0f) : isa_.row.exp_sum(row, v, highest);
      if (sums) sums[i] = static_cast<float>(sum);
      logps.as<float>()[begin + i] = static_cast<float>(static_cast<double>(target) - highest - std::log(sum));
    }
  });
}

void CpuBackend::compute(const LmHeadForward& op) {
  expect_in_range("lm_head_forward", "targets", op.targets, 0, op.weight.dim(0));
  for (int64_t begin = 0; begin < op.x.dim(0); begin += kForwardRows) {
    head_logps(op.x, op.weight, op.targets, op.logps, begin, std::min(begin + kForwardRows, op.x.dim(0)), nullptr);
  }
}

/// Exponentials of rows [begin, end) -> dlogits = dlogp (1[target] - p), in place, as the type of x.
void CpuBackend::head_dlogits(const LmHeadLoss& op, int64_t begin, int64_t end, const float* sums) {
  const int64_t v = op.weight.dim(0);
  const DType type = op.x.dtype;
  parallel_rows(end - begin, v, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      float* row = logits_.as<float>() + i * v;
      const int32_t target = op.targets.as<int32_t>()[begin + i];
      const float dlogp = op.dlogps.as<float>()[begin + i], at_target = dlogp * (1.0f - row[target] / sums[i]);
      isa_.row.scale(row, type, row, v, -dlogp / sums[i]);
      if (type == DType::bf16) reinterpret_cast<bf16*>(row)[target] = from_float<bf16>(at_target);
      else row[target] = at_target;
    }
  });
}

/// dx = dlogits weight and, unless absent, dweight += dlogits^T x, of rows [begin, end).
void CpuBackend::head_gradient(const LmHeadLoss& op, int64_t begin, int64_t end) {
  const int64_t v = op.weight.dim(0), c = op.weight.dim(1), rows = end - begin;
  const DType type = op.x.dtype;
  const float* logits = logits_.as<float>();
  const int64_t ld = type == DType::bf16 ? 2 * v : v;
  GemmArgs dx;
  dx.m = rows;
  dx.n = c;
  dx.k = v;
  dx.a = {logits, ld};
  dx.b = {op.weight.data, c};
  dx.c = op.dx.rows(begin, end).data;
  dx.ldc = c;
  dx.ab_dtype = dx.c_dtype = type;
  multiply(dx);
  if (!op.dweight) return;
  GemmArgs dweight;
  dweight.m = v;
  dweight.n = c;
  dweight.k = rows;
  dweight.a = {logits, ld};
  dweight.trans_a = true;
  dweight.b = {op.x.rows(begin, end).data, c};
  dweight.c = op.dweight.data;
  dweight.ldc = c;
  dweight.ab_dtype = type;
  dweight.add = {op.dweight.data, c};
  multiply(dweight);
}

void CpuBackend::compute(const LmHeadLoss& op) {
  expect_in_range("lm_head_loss", "targets", op.targets, 0, op.weight.dim(0));
  std::vector<float> sums;
  int64_t begin = 0;
  for (const int64_t end : op.chunk_ends) {
    sums.resize(static_cast<size_t>(end - begin));
    head_logps(op.x, op.weight, op.targets, op.logps, begin, end, sums.data());
    if (op.on_chunk) op.on_chunk(begin, end);
    head_dlogits(op, begin, end, sums.data());
    head_gradient(op, begin, end);
    begin = end;
  }
}

}  // namespace selfrefine
