// Finds the table of an instruction set. The guards mirror those around the files that define the tables.
#include "cpu/isa/table.h"

#include "core/error.h"

namespace selfrefine {

extern const IsaKernels kernels_portable;
#if defined(__x86_64__)
extern const IsaKernels kernels_avx2;
extern const IsaKernels kernels_avx512;
extern const IsaKernels kernels_avx512_bf16;
#elif defined(__aarch64__) && defined(__ARM_NEON)
extern const IsaKernels kernels_neon;
#endif

const IsaKernels& isa_kernels(Isa isa) {
  for (const Isa supported : supported_isas()) {
    if (isa != supported) continue;
    switch (isa) {
      case Isa::portable: return kernels_portable;
#if defined(__x86_64__)
      case Isa::avx2: return kernels_avx2;
      case Isa::avx512: return kernels_avx512;
      case Isa::avx512_bf16: return kernels_avx512_bf16;
#elif defined(__aarch64__) && defined(__ARM_NEON)
      case Isa::neon: return kernels_neon;
#endif
      default: break;
    }
  }
  fail(ErrorCode::unsupported, "this processor cannot run the ", isa_name(isa), " kernels");
}

}  // namespace selfrefine
