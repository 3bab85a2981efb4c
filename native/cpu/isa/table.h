// The table of kernels of one instruction set: plain function pointers, filled once per cpu/isa/<isa>.cpp.
// A kernel family adds ONE struct of function pointers (declared in a header of its own, without vector types) as a
// member here, and the source that fills it to cpu/isa/kernels.h. Nothing else changes with a new family.
#pragma once

#include "cpu/cpu_features.h"
#include "cpu/gemm_kernels.h"
#include "cpu/peak_kernels.h"
#include "cpu/row_kernels.h"
#include "kernels/attention/cpu_kernels.h"
#include "kernels/embedding/cpu_kernels.h"
#include "kernels/kv_cache/cpu_kernels.h"
#include "kernels/optimizer/cpu_kernels.h"
#include "kernels/rmsnorm/cpu_kernels.h"
#include "kernels/rope/cpu_kernels.h"
#include "kernels/swiglu/cpu_kernels.h"

namespace selfrefine {

struct IsaKernels {
  Isa isa;
  GemmKernels gemm;
  PeakKernels peak;
  RowKernels row;
  AttentionKernels attention;
  EmbeddingKernels embedding;
  KvCacheKernels kv_cache;
  OptimizerKernels optimizer;
  RmsNormKernels rmsnorm;
  RopeKernels rope;
  SwigluKernels swiglu;
};

/// The kernels of an instruction set that supported_isas() lists; throws unsupported for another.
const IsaKernels& isa_kernels(Isa isa);

}  // namespace selfrefine
