// Rows gathered by index: what the embedding and the selection of rows have in common. Moves bytes, knows no type.
#pragma once

#include "cuda/lanes.cuh"

namespace selfrefine::cuda {

constexpr int kCopyThreads = 256;
constexpr int kCopyUnits = 4;  // of a thread, all loads in flight before the first store

/// out[n] = x[source[n]], or zeros where source[n] is negative; rows of row_units Units, `total` Units in all.
template <typename Unit>
__global__ void __launch_bounds__(kCopyThreads)
    copy_rows_kernel(Unit* out, const Unit* x, const int32_t* source, int64_t total, int64_t row_units) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kCopyThreads * kCopyUnits) + threadIdx.x;
  Unit units[kCopyUnits];
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    const int64_t i = first + k * kCopyThreads;
    units[k] = Unit{};
    if (i >= total) continue;
    const int64_t row = quotient(i, row_units);
    const int64_t from = source[row];
    if (from >= 0) units[k] = x[from * row_units + (i - row * row_units)];
  }
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    const int64_t i = first + k * kCopyThreads;
    if (i < total) out[i] = units[k];
  }
}

template <typename Unit>
void launch_copy_rows(void* out, const void* x, const int32_t* source, int64_t rows, int64_t row_bytes,
                      cudaStream_t stream) {
  const int64_t row_units = row_bytes / static_cast<int64_t>(sizeof(Unit)), total = rows * row_units;
  LAUNCH(copy_rows_kernel<Unit>, blocks_for(total, kCopyThreads * kCopyUnits), kCopyThreads, 0, stream,
         static_cast<Unit*>(out), static_cast<const Unit*>(x), source, total, row_units);
}

/// Queues the copy in the widest unit that divides addresses and rows. `source` is on the device.
inline void copy_rows(void* out, const void* x, const int32_t* source, int64_t rows, int64_t row_bytes,
                      cudaStream_t stream) {
  if (rows == 0 || row_bytes == 0) return;
  const auto bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(x) |
                    static_cast<uintptr_t>(row_bytes);
  const auto launch = bits % sizeof(uint4) == 0      ? launch_copy_rows<uint4>
                      : bits % sizeof(uint32_t) == 0 ? launch_copy_rows<uint32_t>
                                                     : launch_copy_rows<uint16_t>;
  launch(out, x, source, rows, row_bytes, stream);
}

}  // namespace selfrefine::cuda
