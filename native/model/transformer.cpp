// One graph for the whole family. Parts a config does not have are absent tensors, not other code paths.
#include "model/transformer.h"

#include <cmath>

namespace selfrefine {

namespace {

/// (N, heads, D) as the (N, heads * D) rows of a linear layer.
Tensor flat(const Tensor& x) { return x.reshaped({x.dim(0), x.dim(1) * x.dim(2)}); }

}  // namespace

Transformer::Transformer(Backend& backend, const ModelConfig& config, const Weights& weights, const Tensor& inv_freq)
    : backend_(backend), config_(config), weights_(weights), inv_freq_(inv_freq),
      heads_(static_cast<int>(config.num_attention_heads)), kv_heads_(static_cast<int>(config.num_key_value_heads)),
      window_(static_cast<int>(config.sliding_window)),
      scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(config.head_dim)))),
      eps_(static_cast<float>(config.rms_norm_eps)) {}

bool Transformer::forward(const Activations& a, const Tensor& tokens, const Tensor& positions, const Attend& attend) {
  const int64_t num_layers = config_.num_hidden_layers;
  backend_.run(EmbeddingForward{.out = a.layer(0).residual, .weight = weights_.embed_tokens, .tokens = tokens});
  for (int64_t l = 0; l < num_layers; ++l) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(l)];
    const LayerActivations& x = a.layer(l);
    project_qkv(w, x, positions);
    if (!attend(l, x)) return false;
    backend_.run(MatmulForward{.out = x.residual_mid, .x = flat(x.attention), .weight = w.o, .bias = {},
                               .residual = x.residual});
    mlp(w, x, a.residual_after(l, num_layers));
  }
  return true;
}

void Transformer::project_qkv(const LayerWeights& w, const LayerActivations& x, const Tensor& positions) {
  const Tensor& projected = config_.qk_norm ? x.qkv_unnormed : x.qkv;
  backend_.run(RmsNormForward{.out = x.input_norm, .rstd = x.input_rstd, .x = x.residual, .weight = w.input_norm,
                              .eps = eps_});
  backend_.run(MatmulForward{.out = flat(projected), .x = x.input_norm, .weight = w.qkv, .bias = w.qkv_bias,
                             .residual = {}});
  if (config_.qk_norm) {
    backend_.run(HeadNormForward{.out = x.qkv, .rstd = x.head_rstd, .x = projected, .q_weight = w.q_norm,
                                 .k_weight = w.k_norm, .num_heads = heads_, .num_kv_heads = kv_heads_, .eps = eps_});
  }
  backend_.run(RopeForward{.qkv = x.qkv, .positions = positions, .inv_freq = inv_freq_, .num_heads = heads_,
                           .num_kv_heads = kv_heads_, .interleaved = config_.rope_interleaved});
}

void Transformer::mlp(const LayerWeights& w, const LayerActivations& x, const Tensor& out) {
  backend_.run(RmsNormForward{.out = x.mid_norm, .rstd = x.mid_rstd, .x = x.residual_mid,
                              .weight = w.post_attention_norm, .eps = eps_});
  backend_.run(MatmulForward{.out = x.gate_up, .x = x.mid_norm, .weight = w.gate_up, .bias = {}, .residual = {}});
  backend_.run(SwigluForward{.out = x.swiglu, .gate_up = x.gate_up});
  backend_.run(MatmulForward{.out = out, .x = x.swiglu, .weight = w.down, .bias = {}, .residual = x.residual_mid});
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

void Transformer::backward(const Activations& a, const PackedBatch& batch, const Weights& gradients,
                           const Tensor& dscored) {
  backend_.run(RmsNormBackward{.dx = dscored, .dweight = gradients.norm, .dout = dscored, .dresidual = {},
                               .x = a.scored, .rstd = a.scored_rstd, .weight = weights_.norm});
  backend_.run(ScatterRows{.out = a.dresidual, .x = dscored, .rows = batch.scored_rows});
  for (size_t l = weights_.layers.size(); l-- > 0;) {
    mlp_backward(weights_.layers[l], gradients.layers[l], a.layers[l], a);
    attention_backward(weights_.layers[l], gradients.layers[l], a.layers[l], a, batch);
  }
  backend_.run(EmbeddingBackward{.dweight = gradients.embed_tokens, .dout = a.dresidual, .tokens = batch.tokens});
}

void Transformer::mlp_backward(const LayerWeights& w, const LayerWeights& d, const LayerActivations& x,
                               const Activations& a) {
  linear_backward(w.down, d.down, {}, a.dresidual, x.swiglu, a.dswiglu);
  backend_.run(SwigluBackward{.dgate_up = x.gate_up, .dout = a.dswiglu, .gate_up = x.gate_up});
  linear_backward(w.gate_up, d.gate_up, {}, x.gate_up, x.mid_norm, a.dnorm);
  backend_.run(RmsNormBackward{.dx = a.dresidual, .dweight = d.post_attention_norm, .dout = a.dnorm,
                               .dresidual = a.dresidual, .x = x.residual_mid, .rstd = x.mid_rstd,
                               .weight = w.post_attention_norm});
}

void Transformer::attention_backward(const LayerWeights& w, const LayerWeights& d, const LayerActivations& x,
                                     const Activations& a, const PackedBatch& batch) {
  linear_backward(w.o, d.o, {}, a.dresidual, flat(x.attention), flat(a.dattention));
  backend_.run(AttentionBackward{.dqkv = a.dqkv, .dout = a.dattention, .out = x.attention, .lse = x.lse, .qkv = x.qkv,
                                 .segments = batch.segments, .positions = batch.positions, .num_heads = heads_,
                                 .num_kv_heads = kv_heads_, .scale = scale_, .window = window_});
  backend_.run(RopeBackward{.dqkv = a.dqkv, .positions = batch.positions, .inv_freq = inv_freq_, .num_heads = heads_,
                            .num_kv_heads = kv_heads_, .interleaved = config_.rope_interleaved});
  if (config_.qk_norm) {
    backend_.run(HeadNormBackward{.dx = a.dqkv, .dq_weight = d.q_norm, .dk_weight = d.k_norm, .dout = a.dqkv,
                                  .x = x.qkv_unnormed, .rstd = x.head_rstd, .q_weight = w.q_norm,
                                  .k_weight = w.k_norm, .num_heads = heads_, .num_kv_heads = kv_heads_});
  }
  linear_backward(w.qkv, d.qkv, d.qkv_bias, flat(a.dqkv), x.input_norm, a.dnorm);
  backend_.run(RmsNormBackward{.dx = a.dresidual, .dweight = d.input_norm, .dout = a.dnorm, .dresidual = a.dresidual,
                               .x = x.residual, .rstd = x.input_rstd, .weight = w.input_norm});
}

void Transformer::linear_backward(const Tensor& weight, const Tensor& dweight, const Tensor& dbias,
                                  const Tensor& dout, const Tensor& x, const Tensor& dx) {
  backend_.run(MatmulBackwardWeight{.dweight = dweight, .dbias = dbias, .dout = dout, .x = x});
  backend_.run(MatmulBackwardInput{.dx = dx, .dout = dout, .weight = weight});
}

}  // namespace selfrefine
