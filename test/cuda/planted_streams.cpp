// Streams with planted errors: a host that does not wait for what it reads, or writes what still waits to be read, must
// get wrong numbers, and one that waits right ones. The same of the backend's mark.
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "cuda/cuda_backend.h"
#include "engine/batch.h"
#include "planted.h"

using namespace selfrefine;

namespace {

constexpr int kThreads = 32;

__global__ void add_to_each(int* values, int term) { values[threadIdx.x] += term; }
__global__ void diverge(int*, int) {
  if (threadIdx.x < 16) __syncthreads();
  else __syncthreads();
}

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

/// A stream, an event, and pinned integers 0, 1, 2, ...
struct Work {
  Work() {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    void* memory = nullptr;
    check(cudaHostAlloc(&memory, kThreads * sizeof(int), cudaHostAllocPortable));
    values = static_cast<int*>(memory);
    for (int i = 0; i < kThreads; ++i) values[i] = i;
  }
  ~Work() {
    cudaEventDestroy(event);
    cudaStreamDestroy(stream);
    cudaFreeHost(values);
  }
  void add(int term) { LAUNCH(add_to_each, 1, kThreads, 0, stream, values, term); }
  bool added(int term) const {
    for (int i = 0; i < kThreads; ++i) {
      if (values[i] != i + term) return false;
    }
    return true;
  }

  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  int* values = nullptr;
};

bool waits_for_the_stream() {
  Work work;
  work.add(3);
  work.add(4);
  check(cudaStreamSynchronize(work.stream));
  return work.added(7);
}

bool waits_for_the_event() {
  Work work;
  work.add(3);
  check(cudaEventRecord(work.event, work.stream));
  work.add(4);
  check(cudaEventSynchronize(work.event));
  const bool first = work.added(3);
  check(cudaStreamSynchronize(work.stream));
  return first && work.added(7);
}

/// Pageable memory may be written again, or read, when the copy has returned; pinned memory may not.
template <bool kPinned>
bool copies_and_writes() {
  Work from, to;
  Values<int> pageable(kThreads);
  int* const source = kPinned ? from.values : pageable.data;
  to.add(1);
  check(cudaMemcpyAsync(to.values, source, kThreads * sizeof(int), cudaMemcpyDefault, to.stream));
  std::memset(source, 0, kThreads * sizeof(int));
  check(cudaStreamSynchronize(to.stream));
  return to.added(0);
}

/// A (1) float32 in shared memory, to copy from one to the next.
class Floats {
 public:
  explicit Floats(Backend& backend) : memory_(backend.allocate_shared("test", sizeof(float))) {}
  Tensor tensor() const { return Tensor(memory_.get(), DType::f32, {1}); }
  float& value() { return *static_cast<float*>(memory_.get()); }

 private:
  std::shared_ptr<void> memory_;
};

/// One op before the mark and one after it.
template <typename Wait>
bool marks(const Wait& wait, float wanted_first, float wanted_second) {
  CudaBackend backend({});
  Floats a(backend), b(backend), c(backend);
  a.value() = 5;
  backend.run(CastStorage{.out = b.tensor(), .x = a.tensor()});
  backend.mark();
  backend.run(CastStorage{.out = c.tensor(), .x = b.tensor()});
  wait(backend);
  const bool as_wanted = b.value() == wanted_first && c.value() == wanted_second;
  backend.synchronize();
  return as_wanted && c.value() == 5;
}

/// A step ends in an error behind an op that reads a reference's log-prob; the next batch has another one.
bool stages_after_an_error() {
  const auto backend = std::make_shared<CudaBackend>(BackendOptions{});
  const BatchSize size = {.tokens = 2, .segments = 1, .sequences = 2};
  Batch batch(backend, {.max_tokens = size.tokens, .max_segments = size.segments, .max_sequences = size.sequences});
  const BatchInputs& inputs = batch.inputs();
  inputs.segments.as<int32_t>()[1] = 2;  // one of two rows, each of which is a sequence
  inputs.sequence_of_row.as<int32_t>()[1] = 1;
  batch.stage(size);
  ModelConfig config;
  config.vocab_size = config.max_position_embeddings = 2;
  const ScoredBatch scored = batch.prepare(config);
  backend->run(PreferenceLoss{.dlogps = scored.dlogps, .losses = batch.outputs().pair_losses,
                              .sequence_logps = scored.sequence_logps, .logps = scored.logps,
                              .sequence_ends = scored.sequence_ends, .reference_logps = scored.reference_logps,
                              .pair_begin = 0, .pair_end = 1, .kind = PreferenceKind::sigmoid,
                              .length_normalize = false, .beta = 1, .label_smoothing = 0, .pair_weight = 1,
                              .nll_weight = 0});
  inputs.reference_logps.as<float>()[0] = 7;
  batch.stage(size);
  backend->synchronize();
  return batch.outputs().pair_losses.as<float>()[0] == std::log(2.0f);
}

}  // namespace

const std::vector<Planted>& stream_planted() {
  static const std::vector<Planted> all = {
      {"a wait for a stream", Finder::nothing, waits_for_the_stream},
      {"a wait for an event, and for nothing after it", Finder::nothing, waits_for_the_event},
      {"a result that was not waited for", Finder::value,
       [] {
         Work work;
         work.add(3);
         return work.added(3);
       }},
      {"an operand overwritten before the kernel has run", Finder::value,
       [] {
         Work work;
         work.add(3);
         work.values[0] = 9;
         check(cudaStreamSynchronize(work.stream));
         return work.added(3);
       }},
      {"pinned memory overwritten before it was copied", Finder::value, copies_and_writes<true>},
      {"pageable memory overwritten after the copy has returned", Finder::nothing, copies_and_writes<false>},
      {"an error that only the wait reports", Finder::simulation,
       [] {
         Work work;
         LAUNCH(diverge, 1, kThreads, 0, work.stream, work.values, 0);
         const bool launched = cudaGetLastError() == cudaSuccess;
         work.add(3);
         cudaDeviceSynchronize();  // who waits for another reason does not take it away
         check(cudaStreamSynchronize(work.stream));
         return launched;
       }},
      {"work behind an error, which is lost", Finder::value,
       [] {
         Work work;
         LAUNCH(diverge, 1, kThreads, 0, work.stream, work.values, 0);
         work.add(3);
         cudaStreamSynchronize(work.stream);
         return work.added(3);
       }},
      {"a mark: what is before it is done, what is after it is not", Finder::nothing,
       [] { return marks([](Backend& backend) { backend.wait_for_mark(); }, 5, 0); }},
      {"a batch staged after an error in the middle of a step", Finder::nothing, stages_after_an_error},
      {"no wait for the mark", Finder::nothing, [] { return marks([](Backend&) {}, 0, 0); }},
  };
  return all;
}
