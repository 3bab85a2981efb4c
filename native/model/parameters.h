// The parameters of a model as ONE table: name, shape and place in a flat arena. Weights, masters, gradients and
// optimizer moments all have this layout, so an optimizer step is two calls: the matrices, which decay, come first,
// norms and biases after. It does NOT know checkpoints: names are ours, with q|k|v and gate|up fused row-wise.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"
#include "model/config.h"

namespace selfrefine {

enum class Initialization { normal, residual_output, one, zero, kaiming_uniform };

struct Parameter {
  std::string name;
  int rank = 2;
  int64_t rows = 0;
  int64_t columns = 1;  // 1 for a vector
  Initialization initialization = Initialization::normal;
  int64_t offset = 0;   // in elements, from the start of the arena

  int64_t elements() const { return rows * columns; }
  bool decays() const { return rank == 2; }
};

/// The tensors of one layer: weights, or their gradients. Absent ones have rank 0.
struct LayerWeights {
  Tensor input_norm;            // (C)
  Tensor qkv, qkv_bias;         // (G D, C), (G D)
  Tensor q_norm, k_norm;        // (D), (D)
  Tensor o;                     // (C, H D)
  Tensor post_attention_norm;   // (C)
  Tensor gate_up;               // (2 F, C)
  Tensor down;                  // (C, F)
};

struct Weights {
  Tensor embed_tokens;  // (V, C)
  std::vector<LayerWeights> layers;
  Tensor norm;     // (C)
  Tensor lm_head;  // (V, C); the memory of embed_tokens when tied
};

/// Parameters and where each lies in an arena of all of them.
class FlatTable {
 public:
  const std::vector<Parameter>& all() const { return parameters_; }
  /// Null if there is no such parameter.
  const Parameter* find(const std::string& name) const;
  /// Throws ERR_INVALID_ARGUMENT if there is no such parameter.
  const Parameter& at(const std::string& name) const;
  /// Elements of an arena, and of its leading part that decays. Gaps between parameters stay zero.
  int64_t elements() const { return elements_; }
  int64_t decayed_elements() const { return decayed_elements_; }

 protected:
  /// Places a parameter behind those before. What decays must come first.
  void add(Parameter parameter);

 private:
  std::vector<Parameter> parameters_;
  int64_t elements_ = 0;
  int64_t decayed_elements_ = 0;
};

class ParameterTable : public FlatTable {
 public:
  explicit ParameterTable(const ModelConfig& config);

  /// The tensors of an arena with this layout.
  Weights view(void* arena, DType dtype) const;
  /// The same with every tensor absent.
  Weights nothing() const;

 private:
  ModelConfig config_;
};

}  // namespace selfrefine
