// The bookkeeping of a decode step on the GPU, a thread a row. All of it is read and written where it lies: in device
// memory, or in pinned memory where a test keeps it.
#include "cuda/cuda_backend.h"
#include "cuda/lanes.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kAdvanceThreads = 128;

struct AdvanceTask {
  int32_t *tokens, *positions, *lengths, *slots, *keys, *remaining, *history_tokens;
  float* history_logps;
  const int32_t* drawn_tokens;
  const float* drawn_logps;
  const int32_t *page_table, *stop_tokens;
  int64_t rows, window, max_pages, stops, page_size;
};

__global__ void __launch_bounds__(kAdvanceThreads) advance_kernel(const __grid_constant__ AdvanceTask task) {
  const int64_t b = grid_thread();
  if (b >= task.rows || task.remaining[b] == 0) return;
  const int32_t token = task.drawn_tokens[b], position = task.positions[b] + 1;
  const int64_t entry = b * task.window + position % task.window;
  task.history_tokens[entry] = token;
  task.history_logps[entry] = task.drawn_logps[b];
  int32_t remaining = task.remaining[b] - 1;
  for (int64_t i = 0; i < task.stops; ++i) {
    if (task.stop_tokens[i] == token) remaining = 0;
  }
  task.remaining[b] = remaining;
  if (remaining == 0) {
    task.slots[b] = -1;
    return;
  }
  task.tokens[b] = token;
  task.positions[b] = position;
  task.lengths[b] += 1;
  task.keys[3 * b + 2] += 1;
  const int64_t page = quotient(position, task.page_size);
  task.slots[b] = static_cast<int32_t>(task.page_table[b * task.max_pages + page] * task.page_size +
                                       (position - page * task.page_size));
}

}  // namespace

}  // namespace cuda

void CudaBackend::compute(const AdvanceSamples& op) {
  const int64_t rows = op.tokens.dim(0);
  if (rows == 0) return;
  if (!on_device(op.positions)) op.check_values();
  cuda::AdvanceTask task{};
  task.tokens = op.tokens.as<int32_t>();
  task.positions = op.positions.as<int32_t>();
  task.lengths = op.lengths.as<int32_t>();
  task.slots = op.slots.as<int32_t>();
  task.keys = op.keys.as<int32_t>();
  task.remaining = op.remaining.as<int32_t>();
  task.history_tokens = op.history_tokens.as<int32_t>();
  task.history_logps = op.history_logps.as<float>();
  task.drawn_tokens = op.drawn_tokens.as<int32_t>();
  task.drawn_logps = op.drawn_logps.as<float>();
  task.page_table = op.page_table.as<int32_t>();
  task.stop_tokens = op.stop_tokens.as<int32_t>();
  task.rows = rows;
  task.window = op.history_tokens.dim(1);
  task.max_pages = op.page_table.dim(1);
  task.stops = op.stop_tokens.dim(0);
  task.page_size = op.page_size;
  LAUNCH(cuda::advance_kernel, cuda::blocks_for(rows, cuda::kAdvanceThreads), cuda::kAdvanceThreads, 0, stream_, task);
  launched("advance_samples");
}

}  // namespace selfrefine
