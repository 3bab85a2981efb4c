// Rotary embedding on the CPU: angles from the table, rows in parallel.
#include "cpu/cpu_backend.h"

namespace selfrefine {

void CpuBackend::rotate(const Tensor& qkv, const Tensor& positions, const Tensor& inv_freq, int64_t heads,
                        bool interleaved, float sign) {
  angles_.prepare(positions, inv_freq, pool_.working());
  const int32_t* position = positions.as<int32_t>();
  parallel_rows(qkv.dim(0), heads * qkv.dim(2), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) isa_.rope.rotate(qkv, n, heads, angles_.of(position[n]), interleaved, sign);
  });
}

void CpuBackend::compute(const RopeForward& op) {
  rotate(op.qkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, 1.0f);
}

void CpuBackend::compute(const RopeBackward& op) {
  rotate(op.dqkv, op.positions, op.inv_freq, op.num_heads + op.num_kv_heads, op.interleaved, -1.0f);
}

}  // namespace selfrefine
