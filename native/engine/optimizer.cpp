// The optimizer step as three ops: one norm, AdamW over what decays, AdamW over what does not.
#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "engine/blocks.h"
#include "engine/file.h"

namespace selfrefine {

namespace {

void expect_number(const char* field, double value, double least, double below) {
  if (!(value >= least && value < below)) {
    fail(ErrorCode::invalid_argument, "update: ", field, " is ", value, ", expected at least ", least,
         std::isfinite(below) ? concat(" and less than ", below) : std::string(", finite"));
  }
}

void check(const UpdateOptions& o) {
  expect_number("learningRate", o.learning_rate, 0, INFINITY);
  expect_number("beta1", o.beta1, 0, 1);
  expect_number("beta2", o.beta2, 0, 1);
  expect_number("eps", o.eps, 0, INFINITY);
  expect_number("weightDecay", o.weight_decay, 0, INFINITY);
  expect_number("maxGradNorm", o.max_grad_norm, 0, INFINITY);
  if (o.step < 1 || o.step > std::numeric_limits<uint32_t>::max()) {
    fail(ErrorCode::invalid_argument, "update: step is ", o.step, ", expected 1 or more, and less than 2^32");
  }
}

bool all_finite(DType dtype, const void* values, int64_t n) {
  return visit_real(dtype, [&](auto zero) {
    const auto* first = static_cast<const decltype(zero)*>(values);
    return std::all_of(first, first + n, [](auto x) { return std::isfinite(to_float(x)); });
  });
}

}  // namespace

Optimizer::Optimizer(Model& model) : model_(model), trained_(model.trained()) {
  const auto& backend = model.shared_backend();
  gradient_arena_ = build_arena(backend, "gradients", Reach::ops, [&](Layout& layout) {
    gradient_ = layout.take(DType::f32, {elements()});
  });
  norm_arena_ = build_arena(backend, "gradient norm", Reach::host, [&](Layout& layout) {
    sum_of_squares_ = layout.take(DType::f64, {1});
  });
  moments_arena_ = build_arena(backend, "optimizer", Reach::ops, [&](Layout& layout) {
    exp_avg_ = layout.take(state_dtype(), {elements()});
    exp_avg_sq_ = layout.take(state_dtype(), {elements()});
  });
  if (model.adapter()) {
    gradients_.weights = model.table().nothing();
    gradients_.adapter = model.adapter_table().view(gradient_arena_.data(), DType::f32);
  } else {
    gradients_.weights = model.table().view(gradient_arena_.data(), DType::f32);
  }
}

double Optimizer::gradient_norm() {
  model_.backend().run(SumOfSquares{.out = sum_of_squares_, .x = gradient_});
  model_.backend().synchronize();
  return std::sqrt(*sum_of_squares_.as<double>());
}

double Optimizer::update(const UpdateOptions& options) {
  check(options);
  const double norm = gradient_norm();
  if (!std::isfinite(norm)) {
    zero_gradients();
    fail(ErrorCode::invalid_argument, "update ", options.step, ": the gradient norm is ", norm,
         "; the step was not taken and gradients are zero; use a smaller learning rate or look at the data");
  }
  // 1e-6 as in torch.nn.utils.clip_grad_norm_.
  const double scale = options.max_grad_norm > 0 ? std::min(1.0, options.max_grad_norm / (norm + 1e-6)) : 1;
  const int64_t decayed = trained_.table().decayed_elements();
  step(0, decayed, options, options.weight_decay, scale);
  step(decayed, elements(), options, 0, scale);
  model_.weights_changed();
  return norm;
}

void Optimizer::step(int64_t begin, int64_t end, const UpdateOptions& options, double weight_decay,
                     double gradient_scale) {
  if (state_dtype() != DType::f32) return stochastic_step(begin, end, options, weight_decay, gradient_scale);
  model_.backend().run(AdamWStep{.parameter = trained_.parameters().rows(begin, end),
                                 .master = trained_.exact().rows(begin, end),
                                 .exp_avg = exp_avg_.rows(begin, end),
                                 .exp_avg_sq = exp_avg_sq_.rows(begin, end),
                                 .gradient = gradient_.rows(begin, end),
                                 .learning_rate = options.learning_rate,
                                 .beta1 = options.beta1,
                                 .beta2 = options.beta2,
                                 .eps = options.eps,
                                 .weight_decay = weight_decay,
                                 .gradient_scale = static_cast<float>(gradient_scale),
                                 .step = options.step});
}

void Optimizer::stochastic_step(int64_t begin, int64_t end, const UpdateOptions& options, double weight_decay,
                                double gradient_scale) {
  model_.backend().run(AdamWStochasticStep{.parameter = trained_.parameters().rows(begin, end),
                                           .exp_avg = exp_avg_.rows(begin, end),
                                           .exp_avg_sq = exp_avg_sq_.rows(begin, end),
                                           .gradient = gradient_.rows(begin, end),
                                           .learning_rate = options.learning_rate,
                                           .beta1 = options.beta1,
                                           .beta2 = options.beta2,
                                           .eps = options.eps,
                                           .weight_decay = weight_decay,
                                           .gradient_scale = static_cast<float>(gradient_scale),
                                           .step = options.step,
                                           .seed = options.seed,
                                           .first = begin});
}

void Optimizer::zero_gradients() {
  model_.backend().zero(gradient_.data, static_cast<size_t>(gradient_.bytes()));
}

void Optimizer::reset() {
  zero_gradients();
  for (const Tensor& moment : {exp_avg_, exp_avg_sq_}) {
    model_.backend().zero(moment.data, static_cast<size_t>(moment.bytes()));
  }
}

void Optimizer::write_state(const std::string& path, const std::string& header) const {
  OutputFile file(path);
  auto offset = static_cast<int64_t>(header.size());
  file.write(0, header.data(), offset);
  Blocks blocks(model_.backend());
  for (const Tensor& arena : {trained_.exact(), exp_avg_, exp_avg_sq_}) {
    blocks.read_stored(arena, [&](const void* block, int64_t first, int64_t n) {
      file.write(offset + first * size_of(arena.dtype), block, n * size_of(arena.dtype));
    });
    offset += arena.bytes();
  }
  file.finish();
}

void Optimizer::read_state(const std::string& path, int64_t file_offset) {
  const InputFile file(path);
  const int64_t wanted = 3 * exp_avg_.bytes();
  if (file_offset < 0 || file_offset > file.size() || file.size() - file_offset != wanted) {
    fail(ErrorCode::io, path, ": has ", file.size(), " bytes, expected ", wanted, " after byte ", file_offset,
         "; the file is damaged or belongs to another model");
  }
  Blocks blocks(model_.backend());
  for (const Tensor& arena : {trained_.exact(), exp_avg_, exp_avg_sq_}) {
    blocks.write_stored(arena, [&](void* block, int64_t first, int64_t n) {
      file.read(file_offset + first * size_of(arena.dtype), block, n * size_of(arena.dtype));
      if (!all_finite(arena.dtype, block, n)) {
        fail(ErrorCode::invalid_argument, path, ": holds values that are not finite; resume from an earlier one");
      }
    });
    file_offset += arena.bytes();
  }
  zero_gradients();
  model_.sync();
}

std::vector<MemoryRow> Optimizer::memory() const {
  MemoryRow gradients = gradient_arena_.row();
  gradients.bytes += norm_arena_.row().bytes;
  return {gradients, moments_arena_.row()};
}

}  // namespace selfrefine
