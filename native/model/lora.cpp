// The table of adapters. visit() below is the only list of them; the table and the views are both made from it.
#include "model/lora.h"

#include <cmath>
#include <initializer_list>

#include "core/error.h"

namespace selfrefine {

namespace {

/// A layer that is part of a matrix: whether it has an adapter, and its rows.
struct Part {
  bool adapted;
  int64_t rows;
};

/// Calls f(name, slot of the adapter, rows, columns, initialization) for A and B of one matrix, and fills the blocks.
template <typename F>
void visit_linear(const std::string& name, LinearAdapter& adapter, int64_t rank, int64_t inputs,
                  std::initializer_list<Part> parts, F&& f) {
  int64_t row = 0, rows = 0, ranks = 0;
  for (const Part& part : parts) {
    if (part.adapted) {
      adapter.blocks.insert(adapter.blocks.end(), {row, row + part.rows});
      rows += part.rows;
      ranks += rank;
    }
    row += part.rows;
  }
  if (ranks == 0) return;
  f(name + ".lora_A.weight", adapter.a, ranks, inputs, Initialization::kaiming_uniform);
  f(name + ".lora_B.weight", adapter.b, rows, rank, Initialization::zero);
}

template <typename F>
void visit(const ModelConfig& c, const LoraConfig& lora, Adapter& adapter, F&& f) {
  const int64_t queries = c.num_attention_heads * c.head_dim, keys = c.num_key_value_heads * c.head_dim;
  const int64_t inner = c.intermediate_size, hidden = c.hidden_size;
  for (size_t i = 0; i < adapter.layers.size(); ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    LayerAdapter& at = adapter.layers[i];
    visit_linear(layer + "self_attn.qkv_proj", at.qkv, lora.rank, hidden,
                 {{lora.q_proj, queries}, {lora.k_proj, keys}, {lora.v_proj, keys}}, f);
    visit_linear(layer + "self_attn.o_proj", at.o, lora.rank, queries, {{lora.o_proj, hidden}}, f);
    visit_linear(layer + "mlp.gate_up_proj", at.gate_up, lora.rank, hidden,
                 {{lora.gate_proj, inner}, {lora.up_proj, inner}}, f);
    visit_linear(layer + "mlp.down_proj", at.down, lora.rank, inner, {{lora.down_proj, hidden}}, f);
  }
}

Adapter empty_adapter(const ModelConfig& config, const LoraConfig& lora) {
  Adapter adapter;
  adapter.scale = static_cast<float>(lora.scale);
  if (lora) adapter.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  return adapter;
}

}  // namespace

void LoraConfig::check() const {
  constexpr int64_t kMostRank = 4096;
  if (rank < 1 || rank > kMostRank) {
    fail(ErrorCode::invalid_argument, "lora: r is ", rank, ", expected 1 to ", kMostRank);
  }
  if (!std::isfinite(scale) || scale == 0) {
    fail(ErrorCode::invalid_argument, "lora: scale is ", scale, ", expected a finite number other than 0");
  }
  if (!(q_proj || k_proj || v_proj || o_proj || gate_proj || up_proj || down_proj)) {
    fail(ErrorCode::invalid_argument, "lora: targetModules is empty, expected at least one projection");
  }
}

AdapterTable::AdapterTable(const ModelConfig& config, const LoraConfig& lora) : config_(config), lora_(lora) {
  if (!lora) return;
  lora.check();
  Adapter adapter = empty_adapter(config, lora);
  visit(config, lora, adapter,
        [&](const std::string& name, Tensor&, int64_t rows, int64_t columns, Initialization initialization) {
    add({name, 2, rows, columns, initialization, 0});
  });
}

Adapter AdapterTable::view(void* arena, DType dtype) const {
  Adapter adapter = empty_adapter(config_, lora_);
  visit(config_, lora_, adapter,
        [&](const std::string& name, Tensor& slot, int64_t rows, int64_t columns, Initialization) {
    slot = Tensor(static_cast<char*>(arena) + at(name).offset * size_of(dtype), dtype, {rows, columns});
  });
  return adapter;
}

}  // namespace selfrefine
