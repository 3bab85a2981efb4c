// Generation's two ways through the transformer; they differ from training in how a layer attends, and in nothing else.
#include "engine/decode_graph.h"

#include <algorithm>
#include <cmath>

namespace selfrefine {

DecodeGraph::DecodeGraph(Model& model, const ScheduleLimits& limits)
    : model_(model), limits_(limits), max_pages_((limits.max_length + limits.page_size - 1) / limits.page_size),
      transformer_(model.backend(), model.config(), model.weights(), model.inv_freq()) {
  const ModelConfig& c = model.config();
  const auto& backend = model.shared_backend();
  const int64_t b = limits.max_batch, n = std::max(b, limits.max_prefill_tokens);
  activation_arena_ = build_activations(backend, c, model.dtype(), {n, b, false}, activations_);
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
  decode_arena_ = build_arena(backend, "decode batch", Reach::host, [&](Layout& layout) {
    const auto take = [&](RowIndices& r, int64_t rows) {
      for (Tensor* t : {&r.tokens, &r.positions, &r.slots}) *t = layout.take(DType::i32, {rows});
    };
    take(prompt_rows_, limits.max_prefill_tokens);
    take(rows_, b);
    segments_ = layout.take(DType::i32, {limits.max_prefill_tokens, 4});
    page_table_ = layout.take(DType::i32, {b, max_pages_});
    lengths_ = layout.take(DType::i32, {b});
    keys_ = layout.take(DType::i32, {b, 3});
    drawn_tokens_ = layout.take(DType::i32, {b});
    drawn_logps_ = layout.take(DType::f32, {b});
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
      prompt_rows_.tokens.as<int32_t>()[n] = prompt.tokens[static_cast<size_t>(position)];
      prompt_rows_.positions.as<int32_t>()[n] = position;
      prompt_rows_.slots.as<int32_t>()[n] =
          prompt.pages[static_cast<size_t>(position / page_size)] * page_size + position % page_size;
    }
  }
  if (n == 0) return;
  const PackedBatch batch = {.tokens = prompt_rows_.tokens.rows(0, n), .positions = prompt_rows_.positions.rows(0, n),
                             .segments = segments_.rows(0, static_cast<int64_t>(prompts.size())), .scored_rows = {}};
  const Tensor slots = prompt_rows_.slots.rows(0, n);
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

void DecodeGraph::fill_row(int64_t b, const ActiveSample& row) {
  const auto page_size = static_cast<int32_t>(limits_.page_size);
  rows_.tokens.as<int32_t>()[b] = row.last_token;
  rows_.positions.as<int32_t>()[b] = row.position;
  lengths_.as<int32_t>()[b] = row.position + 1;
  rows_.slots.as<int32_t>()[b] =
      row.pages[static_cast<size_t>(row.position / page_size)] * page_size + row.position % page_size;
  std::copy(row.pages.begin(), row.pages.end(), page_table_.as<int32_t>() + b * max_pages_);
  const int32_t key[3] = {row.prompt, row.sample, row.position + 1};
  std::copy_n(key, 3, keys_.as<int32_t>() + 3 * b);
}

void DecodeGraph::decode(const std::vector<ActiveSample>& rows, const SamplingOptions& options) {
  const auto batch = static_cast<int64_t>(rows.size());
  for (int64_t b = 0; b < batch; ++b) fill_row(b, rows[static_cast<size_t>(b)]);
  const ModelConfig& c = model_.config();
  const Activations a = activations_.sized(batch, batch);
  const Tensor slots = rows_.slots.rows(0, batch);
  transformer_.forward(a, rows_.tokens.rows(0, batch), rows_.positions.rows(0, batch),
                       [&](int64_t l, const LayerActivations& layer) {
    write_cache(l, layer, slots);
    const LayerCache& cache = cache_[static_cast<size_t>(l)];
    model_.backend().run(AttentionDecode{.out = layer.attention, .qkv = layer.qkv, .k_cache = cache.k,
                                         .v_cache = cache.v, .page_table = page_table_.rows(0, batch),
                                         .lengths = lengths_.rows(0, batch),
                                         .num_heads = static_cast<int>(c.num_attention_heads),
                                         .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim))),
                                         .window = static_cast<int>(c.sliding_window)});
    return true;
  });
  transformer_.final_norm(a, a.residual_out);
  model_.backend().run(MatmulForward{.out = logits_.rows(0, batch), .x = a.scored_norm,
                                     .weight = model_.weights().lm_head, .bias = {}, .residual = {}});
  draw(batch, options);
}

void DecodeGraph::draw(int64_t batch, const SamplingOptions& options) {
  model_.backend().run(SampleTokens{.tokens = drawn_tokens_.rows(0, batch), .logps = drawn_logps_.rows(0, batch),
                                    .logits = logits_.rows(0, batch), .keys = keys_.rows(0, batch),
                                    .seed = options.seed, .temperature = static_cast<float>(options.temperature),
                                    .top_k = static_cast<int>(options.top_k),
                                    .top_p = static_cast<float>(options.top_p),
                                    .min_p = static_cast<float>(options.min_p)});
  model_.backend().synchronize();
}

std::vector<MemoryRow> DecodeGraph::memory() const {
  return {cache_arena_.row(), activation_arena_.row(), logits_arena_.row(), decode_arena_.row()};
}

}  // namespace selfrefine
