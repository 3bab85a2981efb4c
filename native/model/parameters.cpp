// The parameter table. visit() below is the only list of parameters; the table and the views are both made from it.
#include "model/parameters.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace selfrefine {

namespace {

/// 64 bytes of bfloat16, the narrowest storage: the offset is the same in every arena.
constexpr int64_t kAlignment = 32;

/// Calls f(name, slot of `weights`, rank, rows, columns, initialization) for each parameter the config has.
template <typename F>
void visit(const ModelConfig& c, Weights& weights, F&& f) {
  using enum Initialization;
  const int64_t qkv_rows = c.qkv_heads() * c.head_dim;
  f("model.embed_tokens.weight", weights.embed_tokens, 2, c.vocab_size, c.hidden_size, normal);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    LayerWeights& w = weights.layers[i];
    f(layer + "input_layernorm.weight", w.input_norm, 1, c.hidden_size, 1, one);
    f(layer + "self_attn.qkv_proj.weight", w.qkv, 2, qkv_rows, c.hidden_size, normal);
    if (c.attention_bias) f(layer + "self_attn.qkv_proj.bias", w.qkv_bias, 1, qkv_rows, 1, zero);
    if (c.qk_norm) f(layer + "self_attn.q_norm.weight", w.q_norm, 1, c.head_dim, 1, one);
    if (c.qk_norm) f(layer + "self_attn.k_norm.weight", w.k_norm, 1, c.head_dim, 1, one);
    f(layer + "self_attn.o_proj.weight", w.o, 2, c.hidden_size, c.num_attention_heads * c.head_dim, residual_output);
    f(layer + "post_attention_layernorm.weight", w.post_attention_norm, 1, c.hidden_size, 1, one);
    f(layer + "mlp.gate_up_proj.weight", w.gate_up, 2, 2 * c.intermediate_size, c.hidden_size, normal);
    f(layer + "mlp.down_proj.weight", w.down, 2, c.hidden_size, c.intermediate_size, residual_output);
  }
  f("model.norm.weight", weights.norm, 1, c.hidden_size, 1, one);
  if (!c.tie_word_embeddings) f("lm_head.weight", weights.lm_head, 2, c.vocab_size, c.hidden_size, normal);
}

int64_t padded(int64_t elements) { return (elements + kAlignment - 1) / kAlignment * kAlignment; }

Weights empty_weights(const ModelConfig& config) {
  Weights weights;
  weights.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  return weights;
}

}  // namespace

void FlatTable::add(Parameter parameter) {
  parameter.offset = elements_;
  if (__builtin_add_overflow(elements_, padded(parameter.elements()), &elements_)) {
    fail(ErrorCode::out_of_memory, "parameters: more than 2^63 elements wanted; use a smaller model");
  }
  if (parameter.decays()) decayed_elements_ = elements_;
  parameters_.push_back(std::move(parameter));
}

const Parameter* FlatTable::find(const std::string& name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& parameter) { return parameter.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

const Parameter& FlatTable::at(const std::string& name) const {
  if (const Parameter* parameter = find(name)) return *parameter;
  if (parameters_.empty()) fail(ErrorCode::invalid_argument, "there is no parameter \"", name, "\", nor any other");
  fail(ErrorCode::invalid_argument, "the model has no parameter \"", name, "\"; the first is \"",
       parameters_.front().name, "\", the last \"", parameters_.back().name, "\"");
}

ParameterTable::ParameterTable(const ModelConfig& config) : config_(config) {
  Weights weights = empty_weights(config);
  for (const int rank : {2, 1}) {
    visit(config, weights,
          [&](const std::string& name, Tensor&, int r, int64_t rows, int64_t columns, Initialization initialization) {
      if (r == rank) add({name, r, rows, columns, initialization, 0});
    });
  }
}

Weights ParameterTable::nothing() const { return empty_weights(config_); }

Weights ParameterTable::view(void* arena, DType dtype) const {
  Weights weights = empty_weights(config_);
  visit(config_, weights, [&](const std::string& name, Tensor& slot, int rank, int64_t rows, int64_t columns,
                              Initialization) {
    void* data = static_cast<char*>(arena) + at(name).offset * size_of(dtype);
    slot = rank == 2 ? Tensor(data, dtype, {rows, columns}) : Tensor(data, dtype, {rows});
  });
  if (config_.tie_word_embeddings) weights.lm_head = weights.embed_tokens;
  return weights;
}

}  // namespace selfrefine
