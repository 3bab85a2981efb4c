// Recording by stream capture.
#include "cuda/recording.h"

namespace selfrefine {

std::recursive_mutex& recording_lock() {
  static auto& lock = *new std::recursive_mutex;  // outlives memory that is freed at the end of the process
  return lock;
}

CudaRecording::~CudaRecording() {
  cudaStreamSynchronize(backend_.stream_);
  forget();
}

void CudaRecording::forget() {
  if (graph_) cudaGraphExecDestroy(graph_);
  graph_ = {};
}

void CudaRecording::run(const std::function<void()>& work) {
  backend_.enter();
  if (epoch_ != backend_.epoch_) {
    if (graph_) check_cuda(cudaStreamSynchronize(backend_.stream_), "recording");
    forget();
    work();
    epoch_ = backend_.epoch_;
    return;
  }
  if (!graph_) record(work);
  check_cuda(cudaGraphLaunch(graph_, backend_.stream_), "recording");
}

void CudaRecording::record(const std::function<void()>& work) {
  const std::lock_guard alone(recording_lock());
  cudaGraph_t captured{};
  // Only this thread's calls count: others may use CUDA meanwhile.
  check_cuda(cudaStreamBeginCapture(backend_.stream_, cudaStreamCaptureModeThreadLocal), "recording");
  backend_.is_recording_ = true;
  try {
    work();
  } catch (...) {
    backend_.is_recording_ = false;
    cudaStreamEndCapture(backend_.stream_, &captured);
    if (captured) cudaGraphDestroy(captured);
    throw;
  }
  backend_.is_recording_ = false;
  check_cuda(cudaStreamEndCapture(backend_.stream_, &captured), "recording");
  const cudaError_t made = cudaGraphInstantiateWithFlags(&graph_, captured, 0);
  cudaGraphDestroy(captured);
  check_cuda(made, "recording");
}

bool CudaBackend::records() const { return true; }

std::unique_ptr<Recording> CudaBackend::make_recording() { return std::make_unique<CudaRecording>(*this); }

void CudaBackend::expect_not_recording(const char* what) const {
  if (is_recording_) fail(ErrorCode::internal, "recording: ", what, " cannot be part of recorded work");
}

}  // namespace selfrefine
