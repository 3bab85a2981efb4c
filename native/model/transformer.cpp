// One graph for the whole family. Parts a config does not have are absent tensors, not other code paths.
#include "model/transformer.h"

#include <cmath>

namespace selfrefine {

namespace {

const Tensor kAbsent;
const LayerAdapter kNoAdapter;

/// (N, heads, D) as the (N, heads * D) rows of a linear layer.
Tensor flat(const Tensor& x) { return x.reshaped({x.dim(0), x.dim(1) * x.dim(2)}); }

}  // namespace

Transformer::Transformer(Backend& backend, const ModelConfig& config, const Weights& weights, const Adapter& adapter,
                         const Tensor& inv_freq)
    : backend_(backend), config_(config), weights_(weights), adapter_(adapter), inv_freq_(inv_freq),
      heads_(static_cast<int>(config.num_attention_heads)), kv_heads_(static_cast<int>(config.num_key_value_heads)),
      window_(static_cast<int>(config.sliding_window)),
      scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(config.head_dim)))),
      eps_(static_cast<float>(config.rms_norm_eps)) {}

const LayerAdapter& Transformer::adapter_of(const Adapter& adapter, size_t l) const {
  return adapter ? adapter.layers[l] : kNoAdapter;
}

bool Transformer::forward(const Activations& a, const Tensor& tokens, const Tensor& positions, const Attend& attend) {
  const int64_t num_layers = config_.num_hidden_layers;
  backend_.run(EmbeddingForward{.out = a.layer(0).residual, .weight = weights_.embed_tokens, .tokens = tokens});
  for (int64_t l = 0; l < num_layers; ++l) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(l)];
    const LayerAdapter& adapter = adapter_of(adapter_, static_cast<size_t>(l));
    const LayerActivations& x = a.layer(l);
    project_qkv(w, adapter, x, positions);
    if (!attend(l, x)) return false;
    linear({.out = x.residual_mid, .x = flat(x.attention), .weight = w.o, .bias = kAbsent, .residual = x.residual,
            .adapter = adapter.o, .u = x.o_u});
    mlp(w, adapter, x, a.residual_after(l, num_layers));
  }
  return true;
}

void Transformer::linear(const Linear& l) {
  if (l.adapter && adapter_.active) {
    backend_.run(LoraForward{.out = l.out, .u = l.u, .x = l.x, .weight = l.weight, .bias = l.bias,
                             .residual = l.residual, .a = l.adapter.a, .b = l.adapter.b, .blocks = l.adapter.blocks,
                             .scale = adapter_.scale});
  } else {
    backend_.run(MatmulForward{.out = l.out, .x = l.x, .weight = l.weight, .bias = l.bias, .residual = l.residual});
  }
}

void Transformer::project_qkv(const LayerWeights& w, const LayerAdapter& adapter, const LayerActivations& x,
                              const Tensor& positions) {
  const Tensor& projected = config_.qk_norm ? x.qkv_unnormed : x.qkv;
  backend_.run(RmsNormForward{.out = x.input_norm, .rstd = x.input_rstd, .x = x.residual, .weight = w.input_norm,
                              .eps = eps_});
  linear({.out = flat(projected), .x = x.input_norm, .weight = w.qkv, .bias = w.qkv_bias, .residual = kAbsent,
          .adapter = adapter.qkv, .u = x.qkv_u});
  if (config_.qk_norm) {
    backend_.run(HeadNormForward{.out = x.qkv, .rstd = x.head_rstd, .x = projected, .q_weight = w.q_norm,
                                 .k_weight = w.k_norm, .num_heads = heads_, .num_kv_heads = kv_heads_, .eps = eps_});
  }
  backend_.run(RopeForward{.qkv = x.qkv, .positions = positions, .inv_freq = inv_freq_, .num_heads = heads_,
                           .num_kv_heads = kv_heads_, .interleaved = config_.rope_interleaved});
}

void Transformer::mlp(const LayerWeights& w, const LayerAdapter& adapter, const LayerActivations& x,
                      const Tensor& out) {
  backend_.run(RmsNormForward{.out = x.mid_norm, .rstd = x.mid_rstd, .x = x.residual_mid,
                              .weight = w.post_attention_norm, .eps = eps_});
  linear({.out = x.gate_up, .x = x.mid_norm, .weight = w.gate_up, .bias = kAbsent, .residual = kAbsent,
          .adapter = adapter.gate_up, .u = x.gate_up_u});
  backend_.run(SwigluForward{.out = x.swiglu, .gate_up = x.gate_up});
  linear({.out = out, .x = x.swiglu, .weight = w.down, .bias = kAbsent, .residual = x.residual_mid,
          .adapter = adapter.down, .u = x.down_u});
}

void Transformer::final_norm(const Activations& a, const Tensor& x) {
  backend_.run(RmsNormForward{.out = a.scored_norm, .rstd = a.scored_rstd, .x = x, .weight = weights_.norm,
                              .eps = eps_});
}

Transformer::Attend Transformer::packed_attention(const PackedBatch& batch) {
  return [this, &batch](int64_t, const LayerActivations& x) {
    backend_.run(AttentionForward{.out = x.attention, .lse = x.lse, .qkv = x.qkv, .segments = batch.segments,
                                  .positions = batch.positions, .num_heads = heads_, .num_kv_heads = kv_heads_,
                                  .scale = scale_, .window = window_});
    return true;
  };
}

void Transformer::forward_scored(const Activations& a, const PackedBatch& batch) {
  forward(a, batch.tokens, batch.positions, packed_attention(batch));
  backend_.run(GatherRows{.out = a.scored, .x = a.residual_out, .rows = batch.scored_rows});
  final_norm(a, a.scored);
}

void Transformer::backward(const Activations& a, const PackedBatch& batch, const Gradients& gradients,
                           const Tensor& dscored) {
  backend_.run(RmsNormBackward{.dx = dscored, .dweight = gradients.weights.norm, .dout = dscored, .dresidual = {},
                               .x = a.scored, .rstd = a.scored_rstd, .weight = weights_.norm});
  backend_.run(ScatterRows{.out = a.dresidual, .x = dscored, .rows = batch.scored_rows});
  const bool frozen = !gradients.weights.embed_tokens;
  for (size_t l = weights_.layers.size(); l-- > 0;) {
    const Layer layer = {weights_.layers[l], gradients.weights.layers[l], adapter_of(adapter_, l),
                         adapter_of(gradients.adapter, l), a.layers[l], frozen && l == 0};
    if (mlp_backward(layer, a)) attention_backward(layer, a, batch);
  }
  if (frozen) return;
  backend_.run(EmbeddingBackward{.dweight = gradients.weights.embed_tokens, .dout = a.dresidual,
                                 .tokens = batch.tokens});
}

/// False if nothing that is trained lies below.
bool Transformer::mlp_backward(const Layer& layer, const Activations& a) {
  const auto& [w, dw, adapter, dadapter, x, first] = layer;
  const bool below = !first || adapter.qkv || adapter.o, inside = below || adapter.gate_up;
  linear_backward({.dx = inside ? a.dswiglu : kAbsent, .dweight = dw.down, .dbias = kAbsent, .dout = a.dresidual,
                   .x = x.swiglu, .weight = w.down, .adapter = adapter.down, .dadapter = dadapter.down, .u = x.down_u,
                   .du = a.du});
  if (!inside) return false;
  backend_.run(SwigluBackward{.dgate_up = x.gate_up, .dout = a.dswiglu, .gate_up = x.gate_up});
  linear_backward({.dx = below ? a.dnorm : kAbsent, .dweight = dw.gate_up, .dbias = kAbsent, .dout = x.gate_up,
                   .x = x.mid_norm, .weight = w.gate_up, .adapter = adapter.gate_up, .dadapter = dadapter.gate_up,
                   .u = x.gate_up_u, .du = a.du});
  if (!below) return false;
  backend_.run(RmsNormBackward{.dx = a.dresidual, .dweight = dw.post_attention_norm, .dout = a.dnorm,
                               .dresidual = a.dresidual, .x = x.residual_mid, .rstd = x.mid_rstd,
                               .weight = w.post_attention_norm});
  return true;
}

void Transformer::attention_backward(const Layer& layer, const Activations& a, const PackedBatch& batch) {
  const auto& [w, dw, adapter, dadapter, x, first] = layer;
  const bool inside = !first || adapter.qkv;
  linear_backward({.dx = inside ? flat(a.dattention) : kAbsent, .dweight = dw.o, .dbias = kAbsent,
                   .dout = a.dresidual, .x = flat(x.attention), .weight = w.o, .adapter = adapter.o,
                   .dadapter = dadapter.o, .u = x.o_u, .du = a.du});
  if (!inside) return;
  backend_.run(AttentionBackward{.dqkv = a.dqkv, .dout = a.dattention, .out = x.attention, .lse = x.lse, .qkv = x.qkv,
                                 .segments = batch.segments, .positions = batch.positions, .num_heads = heads_,
                                 .num_kv_heads = kv_heads_, .scale = scale_, .window = window_});
  backend_.run(RopeBackward{.dqkv = a.dqkv, .positions = batch.positions, .inv_freq = inv_freq_, .num_heads = heads_,
                            .num_kv_heads = kv_heads_, .interleaved = config_.rope_interleaved});
  if (config_.qk_norm) {
    backend_.run(HeadNormBackward{.dx = a.dqkv, .dq_weight = dw.q_norm, .dk_weight = dw.k_norm, .dout = a.dqkv,
                                  .x = x.qkv_unnormed, .rstd = x.head_rstd, .q_weight = w.q_norm,
                                  .k_weight = w.k_norm, .num_heads = heads_, .num_kv_heads = kv_heads_});
  }
  linear_backward({.dx = first ? kAbsent : a.dnorm, .dweight = dw.qkv, .dbias = dw.qkv_bias, .dout = flat(a.dqkv),
                   .x = x.input_norm, .weight = w.qkv, .adapter = adapter.qkv, .dadapter = dadapter.qkv,
                   .u = x.qkv_u, .du = a.du});
  if (first) return;
  backend_.run(RmsNormBackward{.dx = a.dresidual, .dweight = dw.input_norm, .dout = a.dnorm, .dresidual = a.dresidual,
                               .x = x.residual, .rstd = x.input_rstd, .weight = w.input_norm});
}

void Transformer::linear_backward(const LinearGradient& l) {
  if (l.dweight) backend_.run(MatmulBackwardWeight{.dweight = l.dweight, .dbias = l.dbias, .dout = l.dout, .x = l.x});
  if (!l.adapter) {
    if (l.dx) backend_.run(MatmulBackwardInput{.dx = l.dx, .dout = l.dout, .weight = l.weight});
    return;
  }
  const Tensor du(l.du.data, l.du.dtype, {l.u.dim(0), l.u.dim(1)});  // the table has room for the most ranks
  backend_.run(LoraBackwardWeight{.da = l.dadapter.a, .db = l.dadapter.b, .du = du, .dout = l.dout, .x = l.x,
                                  .u = l.u, .b = l.adapter.b, .blocks = l.adapter.blocks, .scale = adapter_.scale});
  if (l.dx) {
    backend_.run(LoraBackwardInput{.dx = l.dx, .dout = l.dout, .weight = l.weight, .du = du, .a = l.adapter.a});
  }
}

}  // namespace selfrefine
