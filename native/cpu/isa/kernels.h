// The body of every cpu/isa/<isa>.cpp: all kernel sources, compiled for one instruction set, and their table.
// To add a family: a source (say kernels/rmsnorm/cpu_simd.h) that includes "cpu/vec.h" and, between
// SELFREFINE_ISA_BEGIN and SELFREFINE_ISA_END, in a namespace of its own, defines its functions and a
// `constexpr RmsNormKernels table{...}`; include it below, name its table in the initialiser, and add the member to
// cpu/isa/table.h.
#pragma once

#include "cpu/isa/table.h"
#include "cpu/vec.h"

#include "cpu/gemm_simd.h"
#include "cpu/peak_simd.h"
#include "cpu/row_simd.h"
#include "kernels/attention/cpu_simd.h"
#include "kernels/embedding/cpu_simd.h"
#include "kernels/kv_cache/cpu_simd.h"
#include "kernels/optimizer/cpu_simd.h"
#include "kernels/rmsnorm/cpu_simd.h"
#include "kernels/rope/cpu_simd.h"
#include "kernels/swiglu/cpu_simd.h"

namespace selfrefine {

extern const IsaKernels SELFREFINE_ISA_TABLE;
const IsaKernels SELFREFINE_ISA_TABLE = {
    Isa::SELFREFINE_ISA_ENUM,
    SELFREFINE_ISA::gemm::table,
    SELFREFINE_ISA::peak::table,
    SELFREFINE_ISA::row::table,
    SELFREFINE_ISA::attention::table,
    SELFREFINE_ISA::embedding::table,
    SELFREFINE_ISA::kv_cache::table,
    SELFREFINE_ISA::optimizer::table,
    SELFREFINE_ISA::rmsnorm::table,
    SELFREFINE_ISA::rope::table,
    SELFREFINE_ISA::swiglu::table,
};

}  // namespace selfrefine
