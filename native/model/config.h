// The shape of a Llama-family decoder: one graph with flags. Names are those of Hugging Face's config.json.
// Knows nothing of files, memory or JavaScript.
#pragma once

#include <cstdint>
#include <vector>

namespace selfrefine {

enum class RopeScalingKind { none, linear, llama3 };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::none;
  double factor = 1;
  double low_freq_factor = 1;                          // llama3 only
  double high_freq_factor = 4;                         // llama3 only
  int64_t original_max_position_embeddings = 0;        // llama3 only
};

struct ModelConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool rope_interleaved = false;     // pairs (2i, 2i + 1) turn together, as in llama2.c
  bool tie_word_embeddings = false;
  bool attention_bias = false;       // on the query, key and value projections (Qwen2)
  bool qk_norm = false;              // RMSNorm on each query and key head (Qwen3)
  int64_t sliding_window = 0;        // keys at this distance or more are not seen; 0 = all are
  int64_t max_position_embeddings = 0;

  /// Width in heads of a fused q|k|v row.
  int64_t qkv_heads() const { return num_attention_heads + 2 * num_key_value_heads; }

  /// Throws ERR_INVALID_ARGUMENT naming the field, what it is and what it may be.
  void check() const;
  /// True if a model of this config can take the weights of one of `other`.
  bool same_weights(const ModelConfig& other) const;
};

/// The D / 2 angles per position of the rotary embedding. Source of the scaled forms: transformers,
/// modeling_rope_utils.py ("linear", "llama3"; Llama 3.1 divides long wavelengths and blends a band between).
std::vector<float> rope_frequencies(const ModelConfig& config);

}  // namespace selfrefine
