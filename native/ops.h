// The vocabulary of the engine: every op there is, in one list. An op is a struct in kernels/<family>/op.h: outputs
// first, then inputs, then scalars, the shape beside each tensor. A backend implements run() for each of them; one
// that is missing is a link error that names the op. A new op = one struct, one line here, one kernel per backend.
//
// Dimensions   N rows (tokens) of a packed batch   M rows that predict a scored token   B rows of one decode step
//              L layers   C hidden_size   F intermediate_size   V vocab_size
//              H query heads   K key/value heads   D head_dim   G = H + 2K heads of a fused q|k|v row
// Types        T = the model's storage type (float32 or bfloat16); statistics, log-probs, losses and parameter
//              gradients are float32. Arithmetic is float32 or better whatever T is.
// Indices      lie where host code reaches them. The ops of a decode step (EmbeddingForward, RopeForward, KvCacheWrite,
//              AttentionDecode, SampleTokens, AdvanceSamples) also take them from memory of Backend::allocate(), where
//              ops wrote them; their values are then not looked at.
// Gradients    carry a leading d. Parameter gradients accumulate (+=), activation gradients are written.
#pragma once

#include "kernels/attention/op.h"
#include "kernels/cast/op.h"
#include "kernels/embedding/op.h"
#include "kernels/generation/op.h"
#include "kernels/kv_cache/op.h"
#include "kernels/lm_head/op.h"
#include "kernels/lora/op.h"
#include "kernels/matmul/op.h"
#include "kernels/optimizer/op.h"
#include "kernels/preference/op.h"
#include "kernels/rmsnorm/op.h"
#include "kernels/rope/op.h"
#include "kernels/rows/op.h"
#include "kernels/sampling/op.h"
#include "kernels/swiglu/op.h"

#define SELFREFINE_OPS(X) \
  X(EmbeddingForward)     \
  X(EmbeddingBackward)    \
  X(GatherRows)           \
  X(ScatterRows)          \
  X(RmsNormForward)       \
  X(RmsNormBackward)      \
  X(HeadNormForward)      \
  X(HeadNormBackward)     \
  X(RopeForward)          \
  X(RopeBackward)         \
  X(MatmulForward)        \
  X(MatmulBackwardInput)  \
  X(MatmulBackwardWeight) \
  X(LoraForward)          \
  X(LoraBackwardWeight)   \
  X(LoraBackwardInput)    \
  X(AttentionForward)     \
  X(AttentionBackward)    \
  X(SwigluForward)        \
  X(SwigluBackward)       \
  X(LmHeadForward)        \
  X(LmHeadRows)           \
  X(LmHeadLoss)           \
  X(PreferenceLoss)       \
  X(SumOfSquares)         \
  X(AdamWStep)            \
  X(AdamWStochasticStep)  \
  X(CastStorage)          \
  X(KvCacheWrite)         \
  X(KvCacheCopyPage)      \
  X(AttentionDecode)      \
  X(SampleTokens)         \
  X(AdvanceSamples)
