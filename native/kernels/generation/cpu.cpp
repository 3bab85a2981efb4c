// The bookkeeping of a decode step on the CPU: a few integers a row, so the plain loop of the reference is as good as
// any.
#include "cpu/cpu_backend.h"
#include "kernels/reference.h"

namespace selfrefine {

void CpuBackend::compute(const AdvanceSamples& op) { ReferenceBackend().run(op); }

}  // namespace selfrefine
