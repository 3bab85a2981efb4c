// All CPU kernels in generic vectors, for any processor.
#define SELFREFINE_ISA isa_portable
#define SELFREFINE_ISA_ENUM portable
#define SELFREFINE_ISA_TABLE kernels_portable
#define SELFREFINE_VEC "cpu/isa/vec_generic.h"
#include "cpu/isa/kernels.h"

