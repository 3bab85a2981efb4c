// The parts of the reference backend that are not kernels.
#include "kernels/reference.h"

#include "core/memory.h"

namespace selfrefine {

std::string ReferenceBackend::description() const { return "reference: plain loops, sums in double, one thread"; }

std::shared_ptr<void> ReferenceBackend::allocate(const char* arena, size_t bytes) { return share_host(arena, bytes); }

int64_t ReferenceBackend::available_bytes() const { return static_cast<int64_t>(available_host_bytes()); }

}  // namespace selfrefine
