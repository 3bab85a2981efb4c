// The fields of each op by name, in the order of the struct. The names are bound to the struct's members by position,
// so a list with one field too few or too many does not compile.
#pragma once

#include <string_view>

#include "backend.h"

namespace selfrefine {

/// Calls visit(name, member) for each name of "a, b, c" and the member at its place.
template <typename Visit, typename... Members>
void visit_members(std::string_view names, Visit&& visit, Members&... members) {
  const auto next = [&names] {
    const size_t end = std::min(names.find(','), names.size());
    const std::string_view name = names.substr(0, end);
    names.remove_prefix(std::min(end + 2, names.size()));
    return name;
  };
  (visit(next(), members), ...);
}

#define SELFREFINE_FIELDS(Op, ...)                                                     \
  template <typename Visit>                                                            \
  void visit_fields(Op& op, Visit&& visit) {                                           \
    auto& [__VA_ARGS__] = op;                                                          \
    visit_members(#__VA_ARGS__, visit, __VA_ARGS__);                                   \
  }

SELFREFINE_FIELDS(EmbeddingForward, out, weight, tokens)
SELFREFINE_FIELDS(EmbeddingBackward, dweight, dout, tokens)
SELFREFINE_FIELDS(GatherRows, out, x, rows)
SELFREFINE_FIELDS(ScatterRows, out, x, rows)
SELFREFINE_FIELDS(RmsNormForward, out, rstd, x, weight, eps)
SELFREFINE_FIELDS(RmsNormBackward, dx, dweight, dout, dresidual, x, rstd, weight)
SELFREFINE_FIELDS(HeadNormForward, out, rstd, x, q_weight, k_weight, num_heads, num_kv_heads, eps)
SELFREFINE_FIELDS(HeadNormBackward, dx, dq_weight, dk_weight, dout, x, rstd, q_weight, k_weight, num_heads,
                  num_kv_heads)
SELFREFINE_FIELDS(RopeForward, qkv, positions, inv_freq, num_heads, num_kv_heads, interleaved)
SELFREFINE_FIELDS(RopeBackward, dqkv, positions, inv_freq, num_heads, num_kv_heads, interleaved)
SELFREFINE_FIELDS(MatmulForward, out, x, weight, bias, residual)
SELFREFINE_FIELDS(MatmulBackwardInput, dx, dout, weight, accumulate)
SELFREFINE_FIELDS(MatmulBackwardWeight, dweight, dbias, dout, x)
SELFREFINE_FIELDS(LoraForward, out, u, x, weight, bias, residual, a, b, blocks, scale)
SELFREFINE_FIELDS(LoraBackwardWeight, da, db, du, dout, x, u, b, blocks, scale)
SELFREFINE_FIELDS(LoraBackwardInput, dx, dout, weight, du, a)
SELFREFINE_FIELDS(AttentionForward, out, lse, qkv, segments, positions, num_heads, num_kv_heads, scale, window)
SELFREFINE_FIELDS(AttentionBackward, dqkv, dout, out, lse, qkv, segments, positions, num_heads, num_kv_heads, scale,
                  window)
SELFREFINE_FIELDS(SwigluForward, out, gate_up)
SELFREFINE_FIELDS(SwigluBackward, dgate_up, dout, gate_up)
SELFREFINE_FIELDS(LmHeadForward, logps, x, weight, targets)
SELFREFINE_FIELDS(LmHeadRows, logps, metrics, dlogits, logits, targets)
SELFREFINE_FIELDS(LmHeadLoss, logps, metrics, dx, dweight, dlogps, x, weight, targets, chunk_ends, on_chunk)
SELFREFINE_FIELDS(PreferenceLoss, dlogps, losses, sequence_logps, logps, sequence_ends, reference_logps, pair_begin,
                  pair_end, kind, length_normalize, beta, label_smoothing, pair_weight, nll_weight)
SELFREFINE_FIELDS(SumOfSquares, out, x)
SELFREFINE_FIELDS(AdamWStep, parameter, master, exp_avg, exp_avg_sq, gradient, learning_rate, beta1, beta2, eps,
                  weight_decay, gradient_scale, step)
SELFREFINE_FIELDS(AdamWStochasticStep, parameter, exp_avg, exp_avg_sq, gradient, learning_rate, beta1, beta2, eps,
                  weight_decay, gradient_scale, step, seed, first)
SELFREFINE_FIELDS(CastStorage, out, x)
SELFREFINE_FIELDS(KvCacheWrite, k_cache, v_cache, qkv, slots, num_heads)
SELFREFINE_FIELDS(KvCacheCopyPage, k_cache, v_cache, from, to)
SELFREFINE_FIELDS(AttentionDecode, out, qkv, k_cache, v_cache, page_table, lengths, num_heads, scale, window,
                  max_length)
SELFREFINE_FIELDS(SampleTokens, tokens, logps, logits, keys, seed, temperature, top_k, top_p, min_p)
SELFREFINE_FIELDS(AdvanceSamples, tokens, positions, lengths, slots, keys, remaining, history_tokens, history_logps,
                  drawn_tokens, drawn_logps, page_table, stop_tokens, page_size)

#undef SELFREFINE_FIELDS

}  // namespace selfrefine
