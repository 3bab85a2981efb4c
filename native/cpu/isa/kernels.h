// The body of every cpu/isa/<isa>.cpp: all kernel sources, compiled for one instruction set, and their table.
// To add a family: a source (say kernels/rmsnorm/cpu_simd.h) that includes "cpu/vec.h" and, between SELFREFINE_ISA_BEGIN
// and SELFREFINE_ISA_END, in a namespace of its own, defines its functions and a `constexpr RmsNormKernels table{...}`;
// include it below, name its table in the initialiser, and add the member to cpu/isa/table.h.
#pragma once

#include "cpu/isa/table.h"
#include "cpu/vec.h"

#include "cpu/gemm_simd.h"
#include "cpu/peak_simd.h"

namespace selfrefine {

extern const IsaKernels SELFREFINE_ISA_TABLE;
const IsaKernels SELFREFINE_ISA_TABLE = {
    Isa::SELFREFINE_ISA_ENUM,
    SELFREFINE_ISA::gemm::table,
    SELFREFINE_ISA::peak::table,
};

}  // namespace selfrefine
