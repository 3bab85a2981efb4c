// Preference losses over token log-probabilities, and their gradient.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

enum class PreferenceKind : int { sigmoid = 0, robust = 1, hinge = 2, ipo = 3 };

/// Sequence 2i is the chosen, 2i + 1 the rejected answer of pair i. With s = sum of its token logps (divided by its
/// number of tokens if length_normalize, or for ipo) and r the same of the frozen reference,
///   d = (s_chosen - r_chosen) - (s_rejected - r_rejected),   eps = label_smoothing
///   sigmoid  -(1 - eps) log sigmoid(beta d) - eps log sigmoid(-beta d)      Rafailov et al. 2023; cDPO: Mitchell 2023
///   robust   (-(1 - eps) log sigmoid(beta d) + eps log sigmoid(-beta d)) / (1 - 2 eps)   Chowdhury et al. 2024
///   hinge    max(0, 1 - beta d)                                             Zhao et al. 2023 (SLiC)
///   ipo      (d - 1 / (2 beta))^2, with token means                         Azar et al. 2023
/// The step's loss is pair_weight * sum of these - nll_weight * sum of the chosen tokens' logps: pair_weight is
/// 1 / (pairs of the whole step) and nll_weight is alpha / (chosen tokens of the whole step), so that gradient
/// accumulation is exact (alpha: Pang et al. 2024, "Iterative Reasoning Preference Optimization").
struct PreferenceLoss {
  Tensor dlogps;           // (M) f32: d loss / d logp of each token of pairs [pair_begin, pair_end); others untouched
  Tensor losses;           // (P) f32: unweighted loss of each pair, without the NLL term
  Tensor sequence_logps;   // (2P) f32: plain sum of token logps of each sequence, whatever the normalisation
  Tensor logps;            // (M) f32
  Tensor sequence_ends;    // (2P) i32, increasing: sequence s has the rows [sequence_ends[s - 1], sequence_ends[s])
  Tensor reference_logps;  // (2P) f32: plain sums under the reference
  int64_t pair_begin = 0;
  int64_t pair_end = 0;
  PreferenceKind kind = PreferenceKind::sigmoid;
  bool length_normalize = false;
  float beta = 0;
  float label_smoothing = 0;
  float pair_weight = 0;
  float nll_weight = 0;
  void check() const;
};

}  // namespace selfrefine
