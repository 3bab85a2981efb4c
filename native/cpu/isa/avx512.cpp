// All CPU kernels for AVX-512 (F, BW, VL, DQ); empty where the compiler does not target x86-64.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define SELFREFINE_ISA isa_avx512
#define SELFREFINE_ISA_ENUM avx512
#define SELFREFINE_ISA_TABLE kernels_avx512
#define SELFREFINE_VEC "cpu/isa/vec_avx512.h"
#include "cpu/isa/kernels.h"
#endif
