// Construction, memory and frozen weights of the CPU backend; its ops are in kernels/<family>/cpu.cpp.
#include "cpu/cpu_backend.h"

#include <algorithm>

#include "core/memory.h"

namespace selfrefine {

CpuBackend::CpuBackend(const BackendOptions& options)
    : pool_(options.threads, !options.rehearsal), isa_(isa_kernels(choose_isa())), gemm_(isa_.gemm, pool_) {}

std::string CpuBackend::description() const {
  return concat("cpu, ", isa_name(isa_.isa), ", ", pool_.threads(), pool_.threads() == 1 ? " thread" : " threads");
}

std::shared_ptr<void> CpuBackend::allocate(const char* arena, size_t bytes) {
  return pool_.working() ? share_host(arena, bytes) : reserve_addresses(arena, bytes);
}

int64_t CpuBackend::available_bytes() const { return static_cast<int64_t>(available_host_bytes()); }

void CpuBackend::freeze(std::span<const Tensor> weights) {
  thaw();
  for (const Tensor& weight : weights) {
    if (weight.rank != 2 || weight.elements() == 0) continue;  // only MatmulForward has a packed form
    PackedMatrix& packed = frozen_[weight.data];
    gemm_.pack_b(packed, {weight.data, weight.dim(1)}, true, weight.dim(0), weight.dim(1), weight.dtype);
    frozen_bytes_ += packed.bytes();
  }
}

void CpuBackend::thaw() {
  frozen_.clear();
  frozen_bytes_ = 0;
}

float* CpuBackend::work_area(HugeBuffer& buffer, int64_t floats, const char* what) {
  buffer.reserve(floats * static_cast<int64_t>(sizeof(float)), what, pool_.working());
  count_scratch();
  return buffer.as<float>();
}

void CpuBackend::count_scratch() {
  int64_t bytes = gemm_.workspace_bytes() + angles_.bytes();
  for (const HugeBuffer* buffer : {&threads_, &partials_, &logits_, &head_rows_, &panels_, &lora_}) {
    bytes += buffer->bytes();
  }
  scratch_bytes_.store(bytes, std::memory_order_relaxed);
}

void CpuBackend::multiply(const GemmArgs& args) {
  gemm_(args);
  count_scratch();
}

CpuBackend::ThreadScratch CpuBackend::thread_scratch(int64_t floats) {
  constexpr int64_t kLine = 16;  // floats of a cache line: no two threads write the same one
  ThreadScratch scratch;
  scratch.stride_ = (floats + kLine - 1) / kLine * kLine;
  scratch.base_ = work_area(threads_, scratch.stride_ * pool_.threads(), "work areas of the threads");
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
