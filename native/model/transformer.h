// The decoder as a straight list of ops, forwards and backwards; backward is forward read from the bottom. How a layer
// attends is the caller's: packed rows in training, the paged cache in generation. It knows no loss and no optimizer.
#pragma once

#include <functional>

#include "backend.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/parameters.h"

namespace selfrefine {

/// Rows of one pass. Segments are those of AttentionForward.
struct PackedBatch {
  Tensor tokens;       // (N) i32
  Tensor positions;    // (N) i32
  Tensor segments;     // (S, 4) i32
  Tensor scored_rows;  // (M) i32, increasing
};

/// Where the backward pass adds; what is frozen is absent.
struct Gradients {
  Weights weights;
  Adapter adapter;
};

class Transformer {
 public:
  /// Fills `attention` of layer l from its `qkv`. Returns false to end the pass there.
  using Attend = std::function<bool(int64_t l, const LayerActivations& layer)>;

  /// `inv_freq` is (D / 2) f32; all references outlive the transformer.
  Transformer(Backend& backend, const ModelConfig& config, const Weights& weights, const Adapter& adapter,
              const Tensor& inv_freq);

  /// Embedding and layers; ends in a.residual_out (N, C). False if `attend` ended the pass.
  bool forward(const Activations& a, const Tensor& tokens, const Tensor& positions, const Attend& attend);
  /// The final norm of x (M, C) into a.scored_norm.
  void final_norm(const Activations& a, const Tensor& x);

  /// Attention over packed rows.
  Attend packed_attention(const PackedBatch& batch);
  /// Packed forward, then the final norm of the scored rows alone: a.scored_norm is ready for the loss head.
  void forward_scored(const Activations& a, const PackedBatch& batch);
  /// Adds the gradients of all parameters that have one. `dscored` (M, C) is the gradient of a.scored_norm and may be
  /// overwritten. Ends where nothing that is trained lies below.
  void backward(const Activations& a, const PackedBatch& batch, const Gradients& gradients, const Tensor& dscored);

 private:
  /// A layer on its way back: weights and adapters, their gradients, its activations.
  struct Layer {
    const LayerWeights& w;
    const LayerWeights& dw;
    const LayerAdapter& adapter;
    const LayerAdapter& dadapter;
    const LayerActivations& x;
    bool first;  // nothing that is trained lies below
  };

  /// One linear layer forwards: with its adapter if there is one and it is active.
  struct Linear {
    const Tensor& out;
    const Tensor& x;
    const Tensor& weight;
    const Tensor& bias;
    const Tensor& residual;
    const LinearAdapter& adapter;
    const Tensor& u;
  };
  /// And backwards; dx is absent if nobody wants it.
  struct LinearGradient {
    const Tensor& dx;
    const Tensor& dweight;
    const Tensor& dbias;
    const Tensor& dout;
    const Tensor& x;
    const Tensor& weight;
    const LinearAdapter& adapter;
    const LinearAdapter& dadapter;
    const Tensor& u;
    const Tensor& du;
  };

  const LayerAdapter& adapter_of(const Adapter& adapter, size_t l) const;
  void project_qkv(const LayerWeights& w, const LayerAdapter& adapter, const LayerActivations& x,
                   const Tensor& positions);
  void mlp(const LayerWeights& w, const LayerAdapter& adapter, const LayerActivations& x, const Tensor& out);
  void linear(const Linear& l);
  bool mlp_backward(const Layer& layer, const Activations& a);
  void attention_backward(const Layer& layer, const Activations& a, const PackedBatch& batch);
  void linear_backward(const LinearGradient& l);

  Backend& backend_;
  const ModelConfig& config_;
  const Weights& weights_;
  const Adapter& adapter_;
  Tensor inv_freq_;
  int heads_, kv_heads_, window_;
  float scale_, eps_;
};

}  // namespace selfrefine
