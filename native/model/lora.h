// Low-rank adapters of a decoder's linear layers: which layers have one, and their parameters as a table of their own,
// beside that of the weights. Where several layers are fused in one matrix (q|k|v, gate|up), their adapters are fused
// too: each has rows of one A and of one B (see kernels/lora/op.h). It does NOT know checkpoints.
#pragma once

#include <string>
#include <vector>

#include "model/parameters.h"

namespace selfrefine {

/// Every layer of the decoder has an adapter on each projection chosen here.
struct LoraConfig {
  int64_t rank = 0;   // 0: no adapters
  double scale = 1;   // lora_alpha / r, or with rsLoRA lora_alpha / sqrt(r)
  bool q_proj = false, k_proj = false, v_proj = false, o_proj = false;
  bool gate_proj = false, up_proj = false, down_proj = false;

  explicit operator bool() const { return rank > 0; }
  /// Throws ERR_INVALID_ARGUMENT naming the field, what it is and what it may be.
  void check() const;
  bool operator==(const LoraConfig&) const = default;
};

/// The adapters of one matrix of the decoder; absent where none of its layers has one.
struct LinearAdapter {
  Tensor a;                     // (P r, inputs)
  Tensor b;                     // (R, r)
  std::vector<int64_t> blocks;  // 2 P

  explicit operator bool() const { return static_cast<bool>(a); }
};

struct LayerAdapter {
  LinearAdapter qkv, o, gate_up, down;
};

/// The adapters of a model, or their gradients.
struct Adapter {
  float scale = 1;
  bool active = true;                // false: the model computes as if it had none
  std::vector<LayerAdapter> layers;  // L, or none

  explicit operator bool() const { return !layers.empty(); }
};

class AdapterTable : public FlatTable {
 public:
  /// Empty if `lora` is.
  AdapterTable(const ModelConfig& config, const LoraConfig& lora);

  const LoraConfig& lora() const { return lora_; }
  /// The tensors of an arena with this layout.
  Adapter view(void* arena, DType dtype) const;

 private:
  ModelConfig config_;
  LoraConfig lora_;
};

}  // namespace selfrefine
