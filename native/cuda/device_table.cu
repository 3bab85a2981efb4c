// Staging of host-made tables.
#include "cuda/device_table.h"

#include <algorithm>
#include <cstring>

#include "cuda/cuda_backend.h"

namespace selfrefine {

DeviceTable::~DeviceTable() { release(); }

void DeviceTable::release() {
  for (Stage& stage : stages_) {
    if (stage.copied) cudaEventDestroy(stage.copied);
    if (stage.pinned) cudaFreeHost(stage.pinned);
    stage = {};
  }
  if (device_) cudaFree(device_);
  device_ = nullptr;
  held_ = capacity_ = 0;
}

void DeviceTable::reserve(size_t bytes, cudaStream_t stream) {
  if (bytes <= capacity_) return;
  check_cuda(cudaStreamSynchronize(stream), "upload");  // kernels may still read the old memory
  const size_t wanted = std::max({bytes, 2 * capacity_, size_t{4096}});
  release();
  check_cuda(cudaMalloc(&device_, wanted), "upload");
  for (Stage& stage : stages_) {
    check_cuda(cudaHostAlloc(&stage.pinned, wanted, cudaHostAllocPortable), "upload");
    check_cuda(cudaEventCreateWithFlags(&stage.copied, cudaEventDisableTiming), "upload");
  }
  capacity_ = wanted;
}

const void* DeviceTable::upload(const void* host, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return device_;
  if (bytes == held_ && std::memcmp(stages_[current_].pinned, host, bytes) == 0) return device_;
  reserve(bytes, stream);
  held_ = 0;  // in case of an error below
  current_ = (current_ + 1) % kStages;
  const Stage& stage = stages_[current_];
  check_cuda(cudaEventSynchronize(stage.copied), "upload");
  std::memcpy(stage.pinned, host, bytes);
  check_cuda(cudaMemcpyAsync(device_, stage.pinned, bytes, cudaMemcpyHostToDevice, stream), "upload");
  check_cuda(cudaEventRecord(stage.copied, stream), "upload");
  held_ = bytes;
  return device_;
}

}  // namespace selfrefine
