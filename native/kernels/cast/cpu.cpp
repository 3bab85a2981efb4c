// Conversion on the CPU: the rounding of a row's scaling by 1.
#include "cpu/cpu_backend.h"

namespace selfrefine {

void CpuBackend::compute(const CastStorage& op) {
  constexpr int64_t kBlock = 65536;  // elements of a task
  const int64_t size = size_of(op.out.dtype);
  parallel_blocks(op.out.dim(0), kBlock, [&](int64_t begin, int64_t end, int) {
    isa_.row.scale(op.out.as<char>() + begin * size, op.out.dtype, op.x.as<float>() + begin, end - begin, 1.0f);
  });
}

}  // namespace selfrefine
