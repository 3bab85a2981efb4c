// Work kept as a CUDA graph: a decode step is some hundred launches, each of which costs the host more than the kernel
// the GPU; a graph is one.
#pragma once

#include <mutex>

#include "cuda/cuda_backend.h"

namespace selfrefine {

/// Held while a stream is recorded, and by who waits for the whole device, which CUDA forbids meanwhile on any thread:
/// memory is freed on others than the one that records.
std::recursive_mutex& recording_lock();

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(CudaBackend& backend) : backend_(backend) {}
  ~CudaRecording() override;
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  /// The first call only does the work, so that work areas grow and kernels are loaded; the second records it. A record
  /// whose work areas have moved since is thrown away, and all begins anew.
  void run(const std::function<void()>& work) override;

 private:
  void record(const std::function<void()>& work);
  void forget();

  CudaBackend& backend_;
  cudaGraphExec_t graph_{};
  int64_t epoch_ = -1;  // the backend's when the work was last done without a graph
};

}  // namespace selfrefine
