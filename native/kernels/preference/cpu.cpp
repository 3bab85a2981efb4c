// Preference losses on the CPU: a few scalars per pair, so the plain loops of the reference are as good as any.
#include "cpu/cpu_backend.h"
#include "kernels/reference.h"

namespace selfrefine {

void CpuBackend::compute(const PreferenceLoss& op) { ReferenceBackend().run(op); }

}  // namespace selfrefine
