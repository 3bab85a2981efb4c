// All CPU kernels for AVX2 with FMA; empty where the compiler does not target x86-64.
#if defined(__AVX2__) && defined(__FMA__)
#define SELFREFINE_ISA isa_avx2
#define SELFREFINE_ISA_ENUM avx2
#define SELFREFINE_ISA_TABLE kernels_avx2
#define SELFREFINE_VEC "cpu/isa/vec_avx2.h"
#include "cpu/isa/kernels.h"
#endif
