// Generation's two ways through the transformer; they differ from training in how a layer attends, and in nothing else.
#include "engine/decode_graph.h"

#include <algorithm>
#include <cmath>

namespace selfrefine {

DecodeGraph::DecodeGraph(Model& model, const ScheduleLimits& limits, int64_t window)
    : model_(model), limits_(limits), max_pages_((limits.max_length + limits.page_size - 1) / limits.page_size),
      transformer_(model.backend(), model.config(), model.weights(), model.adapter(), model.inv_freq()),
      state_(model.shared_backend(), limits, max_pages_, window) {
  const ModelConfig& c = model.config();
  const auto& backend = model.shared_backend();
  const int64_t b = limits.max_batch, n = std::max(b, limits.max_prefill_tokens);
  activation_arena_ = build_activations(backend, c, model.adapter(), model.dtype(), {n, b, false}, activations_);
  cache_.resize(static_cast<size_t>(c.num_hidden_layers));
  cache_arena_ = build_arena(backend, "kv cache", Reach::ops, [&](Layout& layout) {
    for (LayerCache& layer : cache_) {
      for (Tensor* t : {&layer.k, &layer.v}) {
        *t = layout.take(model.dtype(), {limits.pages, c.num_key_value_heads, limits.page_size, c.head_dim});
      }
    }
  });
  logits_arena_ = build_arena(backend, "logits", Reach::ops, [&](Layout& layout) {
    logits_ = layout.take(DType::f32, {b, c.vocab_size});
  });
  prompt_arena_ = build_arena(backend, "prompts", Reach::host, [&](Layout& layout) {
    for (Tensor* t : {&prompt_tokens_, &prompt_positions_, &prompt_slots_}) {
      *t = layout.take(DType::i32, {limits.max_prefill_tokens});
    }
    segments_ = layout.take(DType::i32, {limits.max_prefill_tokens, 4});
  });
}

void DecodeGraph::write_cache(int64_t l, const LayerActivations& layer, const Tensor& slots) {
  const LayerCache& cache = cache_[static_cast<size_t>(l)];
  model_.backend().run(KvCacheWrite{.k_cache = cache.k, .v_cache = cache.v, .qkv = layer.qkv, .slots = slots,
                                    .num_heads = static_cast<int>(model_.config().num_attention_heads)});
}

void DecodeGraph::prefill(const std::vector<Admission::Prefill>& prompts) {
  int32_t n = 0;
  const auto page_size = static_cast<int32_t>(limits_.page_size);
  for (size_t s = 0; s < prompts.size(); ++s) {
    const Admission::Prefill& prompt = prompts[s];
    const auto length = static_cast<int32_t>(prompt.tokens.size());
    const int32_t segment[4] = {n, n + length, 0, 0};
    std::copy_n(segment, 4, segments_.as<int32_t>() + 4 * s);
    for (int32_t position = 0; position < length; ++position, ++n) {
      prompt_tokens_.as<int32_t>()[n] = prompt.tokens[static_cast<size_t>(position)];
      prompt_positions_.as<int32_t>()[n] = position;
      prompt_slots_.as<int32_t>()[n] =
          prompt.pages[static_cast<size_t>(position / page_size)] * page_size + position % page_size;
    }
  }
  if (n == 0) return;
  const PackedBatch batch = {.tokens = prompt_tokens_.rows(0, n), .positions = prompt_positions_.rows(0, n),
                             .segments = segments_.rows(0, static_cast<int64_t>(prompts.size())), .scored_rows = {}};
  const Tensor slots = prompt_slots_.rows(0, n);
  const int64_t last = model_.config().num_hidden_layers - 1;
  const auto attend = transformer_.packed_attention(batch);
  transformer_.forward(activations_.sized(n, 0), batch.tokens, batch.positions,
                       [&](int64_t l, const LayerActivations& layer) {
    write_cache(l, layer, slots);
    return l < last && attend(l, layer);  // nobody reads what the last layer makes of a prompt
  });
}

void DecodeGraph::copy_page(const Admission::Copy& copy) {
  for (const LayerCache& layer : cache_) {
    model_.backend().run(KvCacheCopyPage{.k_cache = layer.k, .v_cache = layer.v, .from = copy.from, .to = copy.to});
  }
}

int64_t DecodeGraph::rounded_batch(int64_t batch) const {
  if (!model_.backend().records()) return batch;
  int64_t rounded = 1;
  while (rounded < batch) rounded *= 2;
  if (rounded >= 64 && rounded / 4 * 3 >= batch) rounded = rounded / 4 * 3;
  return std::min(rounded, limits_.max_batch);
}

int64_t DecodeGraph::rounded_length() const {
  constexpr int64_t kShortest = 256;
  int64_t rounded = kShortest;
  while (rounded < longest_) rounded *= 2;
  return std::min(rounded, max_pages_ * limits_.page_size);
}

void DecodeGraph::begin(const SamplingOptions& options, const std::vector<int64_t>& stop_tokens) {
  const bool adapted = model_.adapter().active;
  if (options != options_ || adapted != adapted_) recordings_.clear();
  options_ = options;
  adapted_ = adapted;
  state_.set_stop_tokens(stop_tokens);
}

void DecodeGraph::place(const std::vector<ActiveSample>& rows, int64_t max_new_tokens) {
  batch_ = rounded_batch(std::ssize(rows));
  longest_ = 0;
  for (const ActiveSample& row : rows) longest_ = std::max<int64_t>(longest_, row.position + 1);
  state_.place(rows, batch_, max_new_tokens);
}

void DecodeGraph::decode(int64_t steps) {
  for (int64_t i = 0; i < steps; ++i, ++longest_) {
    const int64_t max_length = rounded_length();
    std::unique_ptr<Recording>& recording = recordings_[{batch_, max_length}];
    if (!recording) recording = model_.backend().make_recording();
    recording->run([&] { step(max_length); });
  }
  state_.fetch();
}

void DecodeGraph::step(int64_t max_length) {
  const ModelConfig& c = model_.config();
  const DecodeRows& rows = state_.rows();
  const Activations a = activations_.sized(batch_, batch_);
  const Tensor slots = rows.slots.rows(0, batch_);
  transformer_.forward(a, rows.tokens.rows(0, batch_), rows.positions.rows(0, batch_),
                       [&](int64_t l, const LayerActivations& layer) {
    write_cache(l, layer, slots);
    const LayerCache& cache = cache_[static_cast<size_t>(l)];
    model_.backend().run(AttentionDecode{.out = layer.attention, .qkv = layer.qkv, .k_cache = cache.k,
                                         .v_cache = cache.v, .page_table = rows.page_table.rows(0, batch_),
                                         .lengths = rows.lengths.rows(0, batch_),
                                         .num_heads = static_cast<int>(c.num_attention_heads),
                                         .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim))),
                                         .window = static_cast<int>(c.sliding_window), .max_length = max_length});
    return true;
  });
  transformer_.final_norm(a, a.residual_out);
  model_.backend().run(MatmulForward{.out = logits_.rows(0, batch_), .x = a.scored_norm,
                                     .weight = model_.weights().lm_head, .bias = {}, .residual = {}});
  draw();
  state_.advance(batch_);
}

void DecodeGraph::draw() {
  const DrawnRows& drawn = state_.drawn();
  model_.backend().run(SampleTokens{.tokens = drawn.tokens.rows(0, batch_), .logps = drawn.logps.rows(0, batch_),
                                    .logits = logits_.rows(0, batch_), .keys = state_.rows().keys.rows(0, batch_),
                                    .seed = options_.seed, .temperature = static_cast<float>(options_.temperature),
                                    .top_k = static_cast<int>(options_.top_k),
                                    .top_p = static_cast<float>(options_.top_p),
                                    .min_p = static_cast<float>(options_.min_p)});
}

std::vector<MemoryRow> DecodeGraph::memory() const {
  return {cache_arena_.row(), activation_arena_.row(), logits_arena_.row(), prompt_arena_.row(),
          state_.memory()};
}

}  // namespace selfrefine
