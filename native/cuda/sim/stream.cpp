// Queues of work, done under one lock: one kernel runs at a time, on the thread that waits.
#include "cuda/sim/stream.h"

#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cuda/sim/device_memory.h"
#include "cuda/sim/watched.h"

namespace {

using Work = std::function<void()>;

struct Queue {
  std::deque<Work> waiting;
  uint64_t done = 0;  // how many went before them
  std::string failure;

  uint64_t end() const { return done + waiting.size(); }
};

/// The streams that this thread captures.
struct Captures {
  int count = 0;
  bool is_spoiled = false;
};
Captures& captures() {
  thread_local Captures of_thread;
  return of_thread;
}

std::string& failure() {
  thread_local std::string last;
  return last;
}

struct Device {
  std::mutex lock;
  std::set<Queue*> queues;
};
Device& device() {
  static auto& only = *new Device;  // outlives all that waits at the end of the process
  return only;
}

/// Does it, under the lock, and forgets it.
void perform(Work work) {
  try {
    work();
  } catch (...) {
    const cudasim::Unseen bookkeeping;  // threads of a kernel that failed stay where they read their arguments
    work = nullptr;
    throw;
  }
}

/// Does what stands before `end`. After an error the rest is dropped, as a GPU drops it.
void finish(Queue& queue, uint64_t end) {
  if (queue.done >= end) return;
  const cudasim::DeviceAccess access;
  while (queue.done < end) {
    Work work = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    ++queue.done;
    try {
      perform(std::move(work));
    } catch (const std::exception& error) {
      queue.failure = error.what();
      queue.done = queue.end();
      queue.waiting.clear();
    }
  }
}

/// The same for one who waits, and is told of errors once. A GPU would be lost for good; tests go on.
cudaError_t wait(Queue& queue, uint64_t end) {
  finish(queue, end);
  if (queue.failure.empty()) return cudaSuccess;
  failure() = std::move(queue.failure);
  queue.failure.clear();
  return cudaErrorLaunchFailure;
}

}  // namespace

struct cudasim_graph {
  std::vector<Work> works;
};
struct cudasim_graph_exec {
  std::shared_ptr<const std::vector<Work>> works;
};
struct cudasim_stream {
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
  std::unique_ptr<cudasim_graph> captured;
};
struct cudasim_event {
  std::shared_ptr<Queue> queue;  // null until it is recorded
  uint64_t end = 0;
};

namespace cudasim {

bool is_capturing(cudaStream_t stream) { return stream != nullptr && stream->captured != nullptr; }

void submit(cudaStream_t stream, Work work) {
  if (is_capturing(stream)) return stream->captured->works.push_back(std::move(work));
  const std::lock_guard lock(device().lock);
  if (stream != nullptr) return stream->queue->waiting.push_back(std::move(work));
  const DeviceAccess access;
  perform(std::move(work));
}

void finish_all() {
  const std::lock_guard lock(device().lock);
  for (Queue* queue : device().queues) finish(*queue, queue->end());
}

const char* last_failure() { return failure().c_str(); }

cudaError_t expect_no_capture() {
  if (captures().count == 0) return cudaSuccess;
  captures().is_spoiled = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace cudasim

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new cudasim_stream;
  const std::lock_guard lock(device().lock);
  device().queues.insert((*stream)->queue.get());
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::unique_ptr<cudasim_stream> owner(stream);
  const std::lock_guard lock(device().lock);
  finish(*stream->queue, stream->queue->end());
  device().queues.erase(stream->queue.get());
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  if (stream == nullptr) return cudaSuccess;
  const std::lock_guard lock(device().lock);
  return wait(*stream->queue, stream->queue->end());
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  cudasim::finish_all();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new cudasim_event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream == nullptr || cudasim::is_capturing(stream)) return cudaErrorInvalidValue;  // nobody needs these
  const std::lock_guard lock(device().lock);
  *event = {stream->queue, stream->queue->end()};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  if (!event->queue) return cudaSuccess;
  const std::lock_guard lock(device().lock);
  return wait(*event->queue, event->end);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

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
  *exec = new cudasim_graph_exec{std::make_shared<const std::vector<Work>>(graph->works)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (cudasim::is_capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  cudasim::submit(stream, [works = exec->works] {  // the graph may be gone by then
    for (const Work& work : *works) work();
  });
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
