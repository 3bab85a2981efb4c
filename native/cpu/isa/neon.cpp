// All CPU kernels for 64-bit Arm; empty elsewhere.
#if defined(__aarch64__) && defined(__ARM_NEON)
#define SELFREFINE_ISA isa_neon
#define SELFREFINE_ISA_ENUM neon
#define SELFREFINE_ISA_TABLE kernels_neon
#define SELFREFINE_VEC "cpu/isa/vec_neon.h"
#include "cpu/isa/kernels.h"
#endif
