// The parts of the reference backend that are not kernels.
#include "kernels/reference.h"

#include "core/memory.h"

namespace selfrefine {

std::string ReferenceBackend::description() const { return "reference: plain loops, sums in double, one thread"; }

void* ReferenceBackend::allocate(const char* arena, size_t bytes) { return allocate_host(arena, bytes); }

void ReferenceBackend::release(void* memory, size_t bytes) noexcept { release_host(memory, bytes); }

}  // namespace selfrefine
