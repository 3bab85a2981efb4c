// The loss head on the CPU. A chunk's logits are one product; while a row is in the cache it becomes exponentials, then
// the gradient of the logits, in place, which feeds the two products of the backward pass. A bf16 gradient takes the
// first half of its row.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

constexpr int64_t kForwardRows = 256;  // rows of a chunk where the caller has not said

/// A row of `metrics`, of v logits. With S and K the sums of exp(d) and of exp(d) d, log p = d - log S, so that
/// -sum p log p = log S - K / S: of two terms that are not negative.
void write_metrics(float* to, const ExpSums& sums, bool is_correct, int64_t v) {
  to[kEntropy] = static_cast<float>(std::log(sums.exps) - sums.moments / sums.exps);
  to[kIsCorrect] = is_correct && sums.exps > 0 ? 1.0f : 0.0f;  // a NaN among the logits is nobody's
  to[kMeanLogit] = static_cast<float>(sums.values / static_cast<double>(v));
}

}  // namespace

/// From the logits of `rows` rows: logps and, if there is memory for it, the gradient of each logit and, if for that
/// too, metrics. Exponentials lie in the gradient's memory or, if it is narrow, in place of the logits.
void CpuBackend::head_rows(float* logps, float* metrics, const LogitGradient& gradient, float* logits,
                           const int32_t* targets, int64_t rows, int64_t v) {
  parallel_rows(rows, v, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      float* row = logits + i * v;
      char* to = static_cast<char*>(gradient.data) + i * gradient.row_bytes;
      const float highest = isa_.row.highest(row, v), target = row[targets[i]];
      const auto log_of = [&](double sum) { return static_cast<double>(target) - highest - std::log(sum); };
      if (gradient.data == nullptr) {
        logps[i] = static_cast<float>(log_of(isa_.row.exp_sum(row, v, highest)));
        continue;
      }
      float* exps = gradient.dtype == DType::f32 ? reinterpret_cast<float*>(to) : row;
      const ExpSums sums = metrics == nullptr ? ExpSums{isa_.row.exps(exps, row, v, highest, 1.0f), 0, 0}
                                              : isa_.row.exps_and_sums(exps, row, v, highest);
      const double sum = sums.exps;
      if (metrics != nullptr) write_metrics(metrics + i * kHeadMetrics, sums, target >= highest, v);
      const float share = 1.0f / static_cast<float>(sum), at_target = 1.0f - exps[targets[i]] * share;
      logps[i] = static_cast<float>(log_of(sum));
      isa_.row.scale(to, gradient.dtype, exps, v, -share);
      if (gradient.dtype == DType::bf16) reinterpret_cast<bf16*>(to)[targets[i]] = from_float<bf16>(at_target);
      else exps[targets[i]] = at_target;
    }
  });
}

/// The logits of rows [begin, end), in logits_.
float* CpuBackend::head_logits(const Tensor& x, const Tensor& weight, int64_t begin, int64_t end) {
  const int64_t v = weight.dim(0);
  float* logits = work_area(logits_, (end - begin) * v, "logits of a chunk of the loss head");
  matmul(Tensor(logits, DType::f32, {end - begin, v}), x.rows(begin, end), weight, {}, {});
  return logits;
}

void CpuBackend::compute(const LmHeadForward& op) {
  expect_in_range("lm_head_forward", "targets", op.targets, 0, op.weight.dim(0));
  for (int64_t begin = 0; begin < op.x.dim(0); begin += kForwardRows) {
    const int64_t end = std::min(begin + kForwardRows, op.x.dim(0));
    head_rows(op.logps.as<float>() + begin, nullptr, {}, head_logits(op.x, op.weight, begin, end),
              op.targets.as<int32_t>() + begin, end - begin, op.weight.dim(0));
  }
}

void CpuBackend::compute(const LmHeadRows& op) {
  const int64_t v = op.logits.dim(1);
  expect_in_range("lm_head_rows", "targets", op.targets, 0, v);
  head_rows(op.logps.as<float>(), op.metrics.as<float>(),
            {op.dlogits.data, op.dlogits.dtype, v * size_of(op.dlogits.dtype)}, op.logits.as<float>(),
            op.targets.as<int32_t>(), op.logits.dim(0), v);
}

/// to = x, each row times its factor; one of the two is of type float32.
void CpuBackend::scale_rows(const Tensor& to, const Tensor& x, const float* factors) {
  const int64_t c = x.dim(1);
  parallel_rows(x.dim(0), c, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      if (x.dtype == DType::f32) {
        isa_.row.scale(to.rows(i, i + 1).data, to.dtype, x.as<float>() + i * c, c, factors[i]);
      } else {
        const bf16* from = x.as<bf16>() + i * c;
        std::transform(from, from + c, to.as<bf16>() + i * c,
                       [&](bf16 value) { return from_float<bf16>(factors[i] * to_float(value)); });
      }
    }
  });
}

/// Of rows [begin, end), whose dlogits are in logits_: dx = dlogps (dlogits weight) and, unless absent,
/// dweight += dlogits^T (dlogps x).
void CpuBackend::head_gradient(const LmHeadLoss& op, int64_t begin, int64_t end) {
  const int64_t v = op.weight.dim(0), c = op.weight.dim(1), rows = end - begin;
  const DType type = op.x.dtype;
  const float* dlogps = op.dlogps.as<float>() + begin;
  const ConstMatrix dlogits = {logits_.as<float>(), v * size_of(DType::f32) / size_of(type)};
  float* area = work_area(head_rows_, rows * c, "rows of a chunk of the loss head");
  const Tensor products(area, DType::f32, {rows, c}), scaled(area, type, {rows, c});
  GemmArgs dx;
  dx.m = rows;
  dx.n = c;
  dx.k = v;
  dx.a = dlogits;
  dx.b = {op.weight.data, c};
  dx.c = products.data;
  dx.ldc = c;
  dx.ab_dtype = type;
  multiply(dx);
  scale_rows(op.dx.rows(begin, end), products, dlogps);
  if (!op.dweight) return;
  scale_rows(scaled, op.x.rows(begin, end), dlogps);
  GemmArgs dweight;
  dweight.m = v;
  dweight.n = c;
  dweight.k = rows;
  dweight.a = dlogits;
  dweight.trans_a = true;
  dweight.b = {scaled.data, c};
  dweight.c = op.dweight.data;
  dweight.ldc = c;
  dweight.ab_dtype = type;
  dweight.add = {op.dweight.data, c};
  multiply(dweight);
}

void CpuBackend::compute(const LmHeadLoss& op) {
  const int64_t v = op.weight.dim(0);
  expect_in_range("lm_head_loss", "targets", op.targets, 0, v);
  int64_t begin = 0;
  for (const int64_t end : op.chunk_ends) {
    float* logits = head_logits(op.x, op.weight, begin, end);
    float* metrics = op.metrics ? op.metrics.as<float>() + begin * kHeadMetrics : nullptr;
    head_rows(op.logps.as<float>() + begin, metrics, {logits, op.x.dtype, v * size_of(DType::f32)}, logits,
              op.targets.as<int32_t>() + begin, end - begin, v);
    if (op.on_chunk) op.on_chunk(begin, end);
    head_gradient(op, begin, end);
    begin = end;
  }
}

}  // namespace selfrefine
