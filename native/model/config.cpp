// What a config may be, and the rotary frequencies that follow from it.
#include "model/config.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"

namespace selfrefine {

namespace {

void expect_dimension(const char* field, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    fail(ErrorCode::invalid_argument, "config: ", field, " is ", value, ", expected an integer from 1 to ", most);
  }
}

void expect_positive(const char* field, double value) {
  if (!(value > 0) || !std::isfinite(value)) {
    fail(ErrorCode::invalid_argument, "config: ", field, " is ", value, ", expected a finite number above 0");
  }
}

void check_rope_scaling(const RopeScaling& scaling) {
  if (scaling.kind == RopeScalingKind::none) return;
  expect_positive("rope_scaling.factor", scaling.factor);
  if (scaling.kind == RopeScalingKind::linear) return;
  expect_positive("rope_scaling.low_freq_factor", scaling.low_freq_factor);
  expect_positive("rope_scaling.high_freq_factor", scaling.high_freq_factor);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    fail(ErrorCode::invalid_argument, "config: rope_scaling.high_freq_factor is ", scaling.high_freq_factor,
         ", expected more than low_freq_factor (", scaling.low_freq_factor, ")");
  }
  expect_dimension("rope_scaling.original_max_position_embeddings", scaling.original_max_position_embeddings,
                   std::numeric_limits<int32_t>::max());
}

/// Wavelengths beyond the low-frequency bound are stretched, those under the high-frequency bound kept, between
/// them the two are blended.
double llama3_frequency(const RopeScaling& scaling, double frequency) {
  const auto context = static_cast<double>(scaling.original_max_position_embeddings);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength > context / scaling.low_freq_factor) return frequency / scaling.factor;
  if (wavelength < context / scaling.high_freq_factor) return frequency;
  const double smooth = (context / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

void ModelConfig::check() const {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // indices of the ops are int32
  expect_dimension("vocab_size", vocab_size, kMost);
  expect_dimension("hidden_size", hidden_size, int64_t{1} << 20);
  expect_dimension("intermediate_size", intermediate_size, int64_t{1} << 22);
  expect_dimension("num_hidden_layers", num_hidden_layers, 4096);
  expect_dimension("num_attention_heads", num_attention_heads, 4096);
  expect_dimension("num_key_value_heads", num_key_value_heads, 4096);
  expect_dimension("head_dim", head_dim, 4096);
  expect_dimension("max_position_embeddings", max_position_embeddings, kMost);
  if (num_attention_heads % num_key_value_heads != 0) {
    fail(ErrorCode::invalid_argument, "config: num_attention_heads is ", num_attention_heads,
         ", expected a multiple of num_key_value_heads (", num_key_value_heads, ")");
  }
  if (head_dim % 2 != 0) {
    fail(ErrorCode::invalid_argument, "config: head_dim is ", head_dim,
         ", expected an even number: the rotary embedding turns pairs");
  }
  if (sliding_window < 0 || sliding_window > kMost) {
    fail(ErrorCode::invalid_argument, "config: sliding_window is ", sliding_window, ", expected 1 or more, or none");
  }
  expect_positive("rms_norm_eps", rms_norm_eps);
  expect_positive("rope_theta", rope_theta);
  check_rope_scaling(rope_scaling);
}

bool ModelConfig::same_weights(const ModelConfig& other) const {
  return vocab_size == other.vocab_size && hidden_size == other.hidden_size &&
         intermediate_size == other.intermediate_size && num_hidden_layers == other.num_hidden_layers &&
         num_attention_heads == other.num_attention_heads && num_key_value_heads == other.num_key_value_heads &&
         head_dim == other.head_dim && tie_word_embeddings == other.tie_word_embeddings &&
         attention_bias == other.attention_bias && qk_norm == other.qk_norm;
}

std::vector<float> rope_frequencies(const ModelConfig& config) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.head_dim; i += 2) {
    double frequency = std::pow(config.rope_theta, -static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (config.rope_scaling.kind == RopeScalingKind::linear) frequency /= config.rope_scaling.factor;
    if (config.rope_scaling.kind == RopeScalingKind::llama3) {
      frequency = llama3_frequency(config.rope_scaling, frequency);
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

}  // namespace selfrefine
