// Recorded work with planted errors: what a GPU refuses in the middle of a capture must be refused by the simulation,
// and a record must do again what was recorded, with the arguments of then and the memory of now.
#include <cstdio>
#include <stdexcept>

#include "cuda/language.h"
#include "planted.h"

namespace {

constexpr int kThreads = 32;

__global__ void add_to_all(int* values, int term) { values[threadIdx.x] += term; }

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(what);
}

/// A stream and what is recorded on it; given back however a test ends, for a leak would count as found.
struct Recording {
  ~Recording() {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
};

/// What `work` does between the beginning and the end of a capture, launched `times` times.
template <typename Work>
void repeat(int times, const Work& work) {
  Recording recording;
  check(cudaStreamCreateWithFlags(&recording.stream, cudaStreamNonBlocking), "stream");
  check(cudaStreamBeginCapture(recording.stream, cudaStreamCaptureModeThreadLocal), "begin");
  work(recording.stream);
  check(cudaStreamEndCapture(recording.stream, &recording.graph), "end");
  check(cudaGraphInstantiateWithFlags(&recording.exec, recording.graph, 0), "instantiate");
  for (int i = 0; i < times; ++i) check(cudaGraphLaunch(recording.exec, recording.stream), "launch");
}

/// `term` of then is added once for each launch, whatever the variable holds by then; nothing while it is captured.
bool repeats() {
  Values<int> values(kThreads), copy(kThreads);
  int term = 3;
  bool untouched = true;
  repeat(4, [&](cudaStream_t stream) {
    LAUNCH(add_to_all, 1, kThreads, 0, stream, values.data, term);
    check(cudaMemcpyAsync(copy.data, values.data, kThreads * sizeof(int), cudaMemcpyDefault, stream), "copy");
    term = 100;
    for (int i = 0; i < kThreads; ++i) untouched = untouched && values.data[i] == i;
  });
  for (int i = 0; i < kThreads; ++i) untouched = untouched && copy.data[i] == i + 4 * 3;
  return untouched;
}

template <typename Forbidden>
bool captures(const Forbidden& forbidden) {
  Values<int> values(kThreads);
  repeat(1, [&](cudaStream_t stream) {
    LAUNCH(add_to_all, 1, kThreads, 0, stream, values.data, 1);
    forbidden(stream);  // its own error may go unread: the end of the capture has one too
  });
  return true;
}

}  // namespace

const std::vector<Planted>& graph_planted() {
  static const std::vector<Planted> all = {
      {"work recorded and done again", Finder::nothing, repeats},
      {"waiting in the middle of a capture", Finder::simulation,
       [] { return captures([](cudaStream_t stream) { cudaStreamSynchronize(stream); }); }},
      {"memory taken in the middle of a capture", Finder::simulation,
       [] {
         return captures([](cudaStream_t) {
           void* memory = nullptr;
           cudaMalloc(&memory, 64);
         });
       }},
      {"a capture within a capture", Finder::simulation,
       [] {
         return captures([](cudaStream_t stream) {
           check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin");
         });
       }},
  };
  return all;
}
