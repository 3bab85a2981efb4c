// Conversion element by element.
#include "kernels/reference.h"

namespace selfrefine {

void ReferenceBackend::compute(const CastStorage& op) {
  visit_real(op.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < op.out.dim(0); ++i) op.out.as<T>()[i] = from_float<T>(op.x.as<float>()[i]);
  });
}

}  // namespace selfrefine
