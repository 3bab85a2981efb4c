// Capture of streams.
#include "cuda/sim/graph.h"

#include <memory>
#include <vector>

using Works = std::vector<std::function<void()>>;

struct cudasim_graph {
  Works works;
};
struct cudasim_graph_exec {
  Works works;
};
struct cudasim_stream {
  std::unique_ptr<cudasim_graph> captured;
};

namespace {

/// The streams that this thread captures.
struct Captures {
  int count = 0;
  bool is_spoiled = false;
};
Captures& captures() {
  thread_local Captures of_thread;
  return of_thread;
}

}  // namespace

namespace cudasim {

bool is_capturing(cudaStream_t stream) { return stream != nullptr && stream->captured != nullptr; }

void submit(cudaStream_t stream, std::function<void()> work) {
  if (!is_capturing(stream)) return work();
  stream->captured->works.push_back(std::move(work));
}

cudaError_t expect_no_capture() {
  if (captures().count == 0) return cudaSuccess;
  captures().is_spoiled = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace cudasim

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new cudasim_stream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudasim::expect_no_capture(); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->captured) return cudaErrorInvalidValue;
  stream->captured = std::make_unique<cudasim_graph>();
  captures() = {captures().count + 1, false};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!cudasim::is_capturing(stream)) return cudaErrorInvalidValue;
  --captures().count;
  const auto captured = std::move(stream->captured);
  if (captures().is_spoiled) return cudaErrorStreamCaptureInvalidated;
  *graph = new cudasim_graph{std::move(captured->works)};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new cudasim_graph_exec{graph->works};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (cudasim::is_capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  for (const auto& work : exec->works) work();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
