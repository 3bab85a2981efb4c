// AdamW over the flat arenas of a model, with clipping by the global norm, and its state on disk: float32 moments and
// the model's exact weights, or, for a bfloat16 model without masters, bfloat16 moments and stochastic rounding. Which
// step it is and how the learning rate moves is the caller's.
#pragma once

#include <string>

#include "engine/model.h"
#include "model/transformer.h"

namespace selfrefine {

struct UpdateOptions {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double max_grad_norm = 0;  // 0: no clipping
  int64_t step = 1;          // counted from 1
  uint64_t seed = 0;         // of stochastic rounding
};

class Optimizer {
 public:
  /// Throws ERR_OUT_OF_MEMORY. The model outlives the optimizer.
  explicit Optimizer(Model& model);

  /// Where backward adds.
  const Gradients& gradients() const { return gradients_; }
  /// Host memory with the gradient of a parameter as it is now; see Model::host_view.
  HostFloats host_view(const Parameter& parameter) {
    return views_.view(model_.backend(), gradient_arena_, gradient_, parameter.offset, parameter.elements());
  }

  /// Clips, steps, zeroes gradients and returns the norm before clipping. If the norm is not finite, gradients are
  /// zeroed, weights stay, and ERR_INVALID_ARGUMENT is thrown.
  double update(const UpdateOptions& options);
  void zero_gradients();
  /// Zeroes moments and gradients.
  void reset();

  /// Arenas of elements() each in state_dtype(): exact weights, exp_avg, exp_avg_sq. Gradients are no part of it.
  void write_state(const std::string& path, const std::string& header) const;
  /// Throws ERR_IO, or ERR_INVALID_ARGUMENT if a value is not finite. After an error the state must not be used.
  void read_state(const std::string& path, int64_t file_offset);
  int64_t elements() const { return trained_.table().elements(); }
  DType state_dtype() const { return trained_.exact().dtype; }

  std::vector<MemoryRow> memory() const;

 private:
  double gradient_norm();
  void step(int64_t begin, int64_t end, const UpdateOptions& options, double weight_decay, double gradient_scale);
  void stochastic_step(int64_t begin, int64_t end, const UpdateOptions& options, double weight_decay,
                       double gradient_scale);

  Model& model_;
  ParameterStore& trained_;
  Arena gradient_arena_, norm_arena_, moments_arena_;
  HostViews views_;
  Gradients gradients_;
  Tensor gradient_;                         // (elements) f32
  Tensor exp_avg_, exp_avg_sq_;             // (elements) f32 or bf16
  Tensor sum_of_squares_;                   // (1) f64
};

}  // namespace selfrefine
