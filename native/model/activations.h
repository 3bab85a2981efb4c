// The buffers of a forward and backward pass as ONE table. Training keeps every layer's inputs for the way back;
// forward only keeps one layer, used again by the next. T is the model's storage type, N rows, M scored rows.
#pragma once

#include <memory>
#include <vector>

#include "model/arena.h"
#include "model/config.h"
#include "model/lora.h"

namespace selfrefine {

struct LayerActivations {
  Tensor residual;       // (N, C) T: input of the layer
  Tensor input_norm;     // (N, C) T
  Tensor input_rstd;     // (N) f32
  Tensor qkv_unnormed;   // (N, G, D) T, with QK-norm only
  Tensor head_rstd;      // (N, H + K) f32, with QK-norm only
  Tensor qkv;            // (N, G, D) T, after the rotary embedding
  Tensor attention;      // (N, H, D) T
  Tensor lse;            // (N, H) f32
  Tensor residual_mid;   // (N, C) T: after attention
  Tensor mid_norm;       // (N, C) T
  Tensor mid_rstd;       // (N) f32
  Tensor gate_up;        // (N, 2F) T; backward overwrites it with its gradient
  Tensor swiglu;         // (N, F) T
  // What each adapter passes on, absent where there is none: (N, P r) T.
  Tensor qkv_u, o_u, gate_up_u, down_u;
};

struct Activations {
  std::vector<LayerActivations> layers;  // L, or 1 when nothing is kept
  Tensor residual_out;                   // (N, C) T: after the last layer
  Tensor scored;                         // (M, C) T: rows of residual_out that predict a scored token
  Tensor scored_norm;                    // (M, C) T
  Tensor scored_rstd;                    // (M) f32
  // Gradients, absent when forward only.
  Tensor dresidual;   // (N, C) T: of the residual stream, running backwards
  Tensor dnorm;       // (N, C) T
  Tensor dqkv;        // (N, G, D) T
  Tensor dattention;  // (N, H, D) T
  Tensor dswiglu;     // (N, F) T
  Tensor du;          // (N, largest P r) T, with adapters only

  const LayerActivations& layer(int64_t l) const { return layers[static_cast<size_t>(l) % layers.size()]; }
  /// Where layer l writes the residual stream.
  const Tensor& residual_after(int64_t l, int64_t num_layers) const {
    return l + 1 == num_layers ? residual_out : layer(l + 1).residual;
  }
  /// The same memory for n rows of which m are scored.
  Activations sized(int64_t n, int64_t m) const;
};

struct ActivationCapacity {
  int64_t rows = 0;
  int64_t scored_rows = 0;
  bool backward = false;
};

/// Throws ERR_OUT_OF_MEMORY.
Arena build_activations(const std::shared_ptr<Backend>& backend, const ModelConfig& config, const Adapter& adapter,
                        DType dtype, const ActivationCapacity& capacity, Activations& activations);

}  // namespace selfrefine
