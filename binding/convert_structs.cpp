// One function per struct that crosses the boundary; the field names are those of src/native.ts.
#include "convert.h"

namespace selfrefine {

namespace {

template <typename T>
struct Choice {
  const char* name;
  T value;
};

template <typename T, size_t N>
T to_choice(const Argument& argument, const Choice<T> (&choices)[N]) {
  std::string wanted = "one of";
  const std::string given = argument.value.IsString() ? argument.text() : "";
  for (const Choice<T>& choice : choices) {
    if (given == choice.name) return choice.value;
    wanted += std::string(wanted == "one of" ? " \"" : ", \"") + choice.name + '"';
  }
  argument.reject(wanted);
}

RopeScaling to_rope_scaling(const Argument& a) {
  constexpr Choice<RopeScalingKind> kKinds[] = {{"linear", RopeScalingKind::linear},
                                                {"llama3", RopeScalingKind::llama3}};
  RopeScaling scaling = {.kind = to_choice(a.field("type"), kKinds), .factor = a.field("factor").number()};
  if (scaling.kind == RopeScalingKind::llama3) {
    scaling.low_freq_factor = a.field("lowFreqFactor").number();
    scaling.high_freq_factor = a.field("highFreqFactor").number();
    scaling.original_max_position_embeddings = a.field("originalMaxPositionEmbeddings").integer();
  }
  return scaling;
}

TensorEntry to_tensor_entry(const Argument& a) {
  constexpr Choice<DType> kTypes[] = {{"F32", DType::f32}, {"BF16", DType::bf16}, {"F16", DType::f16}};
  return {.parameter = a.field("parameter").text(),
          .row_offset = a.field("rowOffset").integer(0),
          .rows = a.field("rows").integer(0),
          .file_offset = a.field("fileOffset").integer(0),
          .dtype = to_choice(a.field("dtype"), kTypes)};
}

LoraConfig to_lora_config(const Argument& a) {
  constexpr Choice<bool LoraConfig::*> kTargets[] = {
      {"q_proj", &LoraConfig::q_proj}, {"k_proj", &LoraConfig::k_proj}, {"v_proj", &LoraConfig::v_proj},
      {"o_proj", &LoraConfig::o_proj}, {"gate_proj", &LoraConfig::gate_proj}, {"up_proj", &LoraConfig::up_proj},
      {"down_proj", &LoraConfig::down_proj}};
  LoraConfig config;
  config.rank = a.field("r").integer(1);
  config.scale = a.field("scale").number();
  for (const Argument& target : a.field("targetModules").list()) config.*to_choice(target, kTargets) = true;
  return config;
}

}  // namespace

ModelConfig to_model_config(const Argument& a) {
  ModelConfig config;
  config.vocab_size = a.field("vocabSize").integer();
  config.hidden_size = a.field("hiddenSize").integer();
  config.intermediate_size = a.field("intermediateSize").integer();
  config.num_hidden_layers = a.field("numHiddenLayers").integer();
  config.num_attention_heads = a.field("numAttentionHeads").integer();
  config.num_key_value_heads = a.field("numKeyValueHeads").integer();
  config.head_dim = a.field("headDim").integer();
  config.rms_norm_eps = a.field("rmsNormEps").number();
  config.rope_theta = a.field("ropeTheta").number();
  if (const auto scaling = a.field("ropeScaling").optional()) config.rope_scaling = to_rope_scaling(*scaling);
  config.rope_interleaved = a.field("ropeInterleaved").boolean();
  config.tie_word_embeddings = a.field("tieWordEmbeddings").boolean();
  config.attention_bias = a.field("attentionBias").boolean();
  config.qk_norm = a.field("qkNorm").boolean();
  if (const auto window = a.field("slidingWindow").optional()) config.sliding_window = window->integer(1);
  config.max_position_embeddings = a.field("maxPositionEmbeddings").integer();
  return config;
}

ModelOptions to_model_options(const Argument& a) {
  constexpr Choice<DType> kTypes[] = {{"float32", DType::f32}, {"bfloat16", DType::bf16}};
  ModelOptions options = {.device = a.field("device").text(),
                          .dtype = to_choice(a.field("dtype"), kTypes),
                          .threads = static_cast<int>(a.field("threads").integer(0, 1024)),
                          .masters = a.field("masters").boolean()};
  if (const auto lora = a.field("lora").optional()) options.lora = to_lora_config(*lora);
  return options;
}

std::vector<TensorEntry> to_tensor_entries(const Argument& a) {
  std::vector<TensorEntry> entries;
  for (const Argument& item : a.list()) entries.push_back(to_tensor_entry(item));
  return entries;
}

TrainerCapacity to_trainer_capacity(const Argument& a) {
  return {.max_tokens = a.field("maxTokens").integer(),
          .max_segments = a.field("maxSegments").integer(),
          .max_sequences = a.field("maxSequences").integer(),
          .training = a.field("training").boolean()};
}

BatchSize to_batch_size(const Argument& a) {
  return {.tokens = a.field("tokens").integer(),
          .segments = a.field("segments").integer(),
          .sequences = a.field("sequences").integer()};
}

PreferenceOptions to_preference_options(const Argument& a) {
  constexpr Choice<PreferenceKind> kKinds[] = {{"sigmoid", PreferenceKind::sigmoid},
                                               {"robust", PreferenceKind::robust},
                                               {"hinge", PreferenceKind::hinge},
                                               {"ipo", PreferenceKind::ipo}};
  return {.kind = to_choice(a.field("loss"), kKinds),
          .length_normalize = a.field("lengthNormalize").boolean(),
          .beta = a.field("beta").number(),
          .label_smoothing = a.field("labelSmoothing").number(),
          .pair_weight = a.field("pairWeight").number(),
          .nll_weight = a.field("nllWeight").number()};
}

UpdateOptions to_update_options(const Argument& a) {
  return {.learning_rate = a.field("learningRate").number(),
          .beta1 = a.field("beta1").number(),
          .beta2 = a.field("beta2").number(),
          .eps = a.field("eps").number(),
          .weight_decay = a.field("weightDecay").number(),
          .max_grad_norm = a.field("maxGradNorm").number(),
          .step = a.field("step").integer(),
          .seed = a.field("seed").seed()};
}

SamplerCapacity to_sampler_capacity(const Argument& a) {
  const auto steps = a.field("stepsPerLook").optional();
  return {.max_batch = a.field("maxBatch").integer(),
          .max_length = a.field("maxLength").integer(),
          .max_prefill_tokens = a.field("maxPrefillTokens").integer(),
          .cache_tokens = a.field("cacheTokens").integer(),
          .steps_per_look = steps ? steps->integer(1) : 0};
}

GenerationOptions to_generation_options(const Argument& a) {
  GenerationOptions options;
  options.sampling = {.seed = a.field("seed").seed(),
                      .temperature = a.field("temperature").number(),
                      .top_k = a.field("topK").integer(),
                      .top_p = a.field("topP").number(),
                      .min_p = a.field("minP").number()};
  options.max_new_tokens = a.field("maxNewTokens").integer();
  for (const Argument& token : a.field("stopTokenIds").list()) options.stop_token_ids.push_back(token.integer());
  for (const Argument& text : a.field("stopStrings").list()) options.stop_strings.push_back(text.bytes());
  return options;
}

PlannedWork to_planned_work(const Argument& a) {
  PlannedWork work;
  if (const auto training = a.field("training").optional()) {
    work.training = {.capacity = to_trainer_capacity(training->field("capacity")),
                     .preference = training->field("preference").boolean(),
                     .row_length = training->field("rowLength").integer(1),
                     .rows = training->field("rows").integer(1)};
  }
  if (const auto sampling = a.field("sampling").optional()) work.sampling = to_sampler_capacity(*sampling);
  return work;
}

}  // namespace selfrefine
