// Construction, memory and frozen weights of the CPU backend; its ops are in kernels/<family>/cpu.cpp.
#include "cpu/cpu_backend.h"

#include <algorithm>

#include "core/memory.h"

namespace selfrefine {

CpuBackend::CpuBackend(const BackendOptions& options)
    : pool_(options.threads), isa_(isa_kernels(choose_isa())), gemm_(isa_.gemm, pool_) {}

std::string CpuBackend::description() const {
  return concat("cpu, ", isa_name(isa_.isa), ", ", pool_.threads(), pool_.threads() == 1 ? " thread" : " threads");
}

std::shared_ptr<void> CpuBackend::allocate(const char* arena, size_t bytes) { return share_host(arena, bytes); }

void CpuBackend::freeze(std::span<const Tensor> weights) {
  frozen_.clear();
  for (const Tensor& weight : weights) {
    if (weight.rank != 2 || weight.elements() == 0) continue;  // only MatmulForward has a packed form
    gemm_.pack_b(frozen_[weight.data], {weight.data, weight.dim(1)}, true, weight.dim(0), weight.dim(1), weight.dtype);
  }
}

int64_t CpuBackend::scratch_bytes() const {
  int64_t bytes = gemm_.workspace_bytes() + angles_.bytes();
  for (const auto& [data, packed] : frozen_) bytes += packed.bytes();
  for (const HugeBuffer* buffer : {&threads_, &partials_, &logits_, &panels_}) bytes += buffer->bytes();
  return bytes;
}

CpuBackend::ThreadScratch CpuBackend::thread_scratch(int64_t floats) {
  constexpr int64_t kLine = 16;  // floats of a cache line: no two threads write the same one
  ThreadScratch scratch;
  scratch.stride_ = (floats + kLine - 1) / kLine * kLine;
  threads_.reserve(scratch.stride_ * pool_.threads() * static_cast<int64_t>(sizeof(float)),
                   "work areas of the threads");
  scratch.base_ = threads_.as<float>();
  return scratch;
}

void CpuBackend::add_partials(float* to, int64_t blocks, int64_t size) {
  if (blocks == 0) return;
  const float* partials = partials_.as<float>();
  parallel_blocks(size, 256, [&](int64_t begin, int64_t end, int) {
    isa_.row.add_blocks(to + begin, partials + begin, size, blocks, end - begin);
  });
}

}  // namespace selfrefine
