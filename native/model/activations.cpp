// The activation table. The visit_ functions are the only lists of buffers: allocation and resizing both read them.
#include "model/activations.h"

#include <algorithm>

namespace selfrefine {

namespace {

struct Sizes {
  int64_t c, f, h, g, d, norm_heads;
  bool qk_norm;
  int64_t qkv_ranks, o_ranks, gate_up_ranks, down_ranks;  // of the adapters, the same in every layer; 0: none

  Sizes(const ModelConfig& config, const Adapter& adapter)
      : c(config.hidden_size), f(config.intermediate_size), h(config.num_attention_heads), g(config.qkv_heads()),
        d(config.head_dim), norm_heads(config.num_attention_heads + config.num_key_value_heads),
        qk_norm(config.qk_norm) {
    const LayerAdapter layer = adapter ? adapter.layers.front() : LayerAdapter{};
    const auto ranks = [](const LinearAdapter& linear) { return linear ? linear.a.dim(0) : 0; };
    qkv_ranks = ranks(layer.qkv);
    o_ranks = ranks(layer.o);
    gate_up_ranks = ranks(layer.gate_up);
    down_ranks = ranks(layer.down);
  }

  int64_t most_ranks() const { return std::max({qkv_ranks, o_ranks, gate_up_ranks, down_ranks}); }
};

/// Calls f(slot, dtype, rows, width, depth): a tensor of rows x width x depth, where 0 stands for "no such dimension".
template <typename F>
void visit_layer(LayerActivations& a, const Sizes& s, DType t, int64_t n, F&& f) {
  f(a.residual, t, n, s.c, 0);
  f(a.input_norm, t, n, s.c, 0);
  f(a.input_rstd, DType::f32, n, 0, 0);
  if (s.qk_norm) f(a.qkv_unnormed, t, n, s.g, s.d);
  if (s.qk_norm) f(a.head_rstd, DType::f32, n, s.norm_heads, 0);
  f(a.qkv, t, n, s.g, s.d);
  f(a.attention, t, n, s.h, s.d);
  f(a.lse, DType::f32, n, s.h, 0);
  f(a.residual_mid, t, n, s.c, 0);
  f(a.mid_norm, t, n, s.c, 0);
  f(a.mid_rstd, DType::f32, n, 0, 0);
  f(a.gate_up, t, n, 2 * s.f, 0);
  f(a.swiglu, t, n, s.f, 0);
  if (s.qkv_ranks > 0) f(a.qkv_u, t, n, s.qkv_ranks, 0);
  if (s.o_ranks > 0) f(a.o_u, t, n, s.o_ranks, 0);
  if (s.gate_up_ranks > 0) f(a.gate_up_u, t, n, s.gate_up_ranks, 0);
  if (s.down_ranks > 0) f(a.down_u, t, n, s.down_ranks, 0);
}

template <typename F>
void visit_rest(Activations& a, const Sizes& s, DType t, const ActivationCapacity& capacity, F&& f) {
  const int64_t n = capacity.rows, m = capacity.scored_rows;
  f(a.residual_out, t, n, s.c, 0);
  f(a.scored, t, m, s.c, 0);
  f(a.scored_norm, t, m, s.c, 0);
  f(a.scored_rstd, DType::f32, m, 0, 0);
  if (!capacity.backward) return;
  f(a.dresidual, t, n, s.c, 0);
  f(a.dnorm, t, n, s.c, 0);
  f(a.dqkv, t, n, s.g, s.d);
  f(a.dattention, t, n, s.h, s.d);
  f(a.dswiglu, t, n, s.f, 0);
  if (s.most_ranks() > 0) f(a.du, t, n, s.most_ranks(), 0);
}

void resize_layer(LayerActivations& a, int64_t n) {
  for (Tensor* tensor : {&a.residual, &a.input_norm, &a.input_rstd, &a.qkv_unnormed, &a.head_rstd, &a.qkv,
                         &a.attention, &a.lse, &a.residual_mid, &a.mid_norm, &a.mid_rstd, &a.gate_up, &a.swiglu,
                         &a.qkv_u, &a.o_u, &a.gate_up_u, &a.down_u}) {
    *tensor = first_rows(*tensor, n);
  }
}

}  // namespace

Activations Activations::sized(int64_t n, int64_t m) const {
  Activations view = *this;
  for (LayerActivations& layer : view.layers) resize_layer(layer, n);
  for (Tensor* t : {&view.residual_out, &view.dresidual, &view.dnorm, &view.dqkv, &view.dattention, &view.dswiglu,
                    &view.du}) {
    *t = first_rows(*t, n);
  }
  for (Tensor* t : {&view.scored, &view.scored_norm, &view.scored_rstd}) *t = first_rows(*t, m);
  return view;
}

Arena build_activations(const std::shared_ptr<Backend>& backend, const ModelConfig& config, const Adapter& adapter,
                        DType dtype, const ActivationCapacity& capacity, Activations& activations) {
  const Sizes sizes(config, adapter);
  activations.layers.resize(static_cast<size_t>(capacity.backward ? config.num_hidden_layers : 1));
  return build_arena(backend, "activations", Reach::ops, [&](Layout& layout) {
    const auto place = [&](Tensor& slot, DType type, int64_t rows, int64_t width, int64_t depth) {
      slot = depth != 0   ? layout.take(type, {rows, width, depth})
             : width != 0 ? layout.take(type, {rows, width})
                          : layout.take(type, {rows});
    };
    for (LayerActivations& layer : activations.layers) visit_layer(layer, sizes, dtype, capacity.rows, place);
    visit_rest(activations, sizes, dtype, capacity, place);
  });
}

}  // namespace selfrefine
