// All CPU kernels for AVX-512 with its bf16 dot product; empty where the compiler does not target x86-64.
#if defined(__AVX512F__) && defined(__AVX512BF16__)
#define SELFREFINE_ISA isa_avx512_bf16
#define SELFREFINE_ISA_ENUM avx512_bf16
#define SELFREFINE_ISA_TABLE kernels_avx512_bf16
#define SELFREFINE_VEC "cpu/isa/vec_avx512_bf16.h"
#include "cpu/isa/kernels.h"
#endif
