// The machine's own limits, measured: what benches divide by. A shared machine changes speed from second to second, so
// measure them interleaved with the work they are compared with, and compare ratios.
#pragma once

#include "cpu/huge_buffer.h"
#include "cpu/isa/table.h"
#include "cpu/thread_pool.h"

namespace selfrefine {

/// Rates over all threads of a pool. One caller at a time.
class PeakMeter {
 public:
  PeakMeter(const IsaKernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  /// fp32 fused multiply-adds in registers, floating-point operations a second, over about `seconds`.
  double fma_flops(double seconds = 0.01);

  /// The same for bf16 operands: pairs where the instruction set multiplies pairs, else fma_flops.
  double bf16_flops(double seconds = 0.01);

  /// Reading `bytes` once, bytes a second. 256 MiB or more for main memory, less for a cache.
  double read_bandwidth(int64_t bytes);

  /// Copying `bytes`, bytes read plus bytes written a second.
  double copy_bandwidth(int64_t bytes);

 private:
  double flops(double (*kernel)(int64_t, float*), double seconds);

  const IsaKernels& kernels_;
  ThreadPool& pool_;
  HugeBuffer memory_;
};

}  // namespace selfrefine
