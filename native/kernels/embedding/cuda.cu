// The embedding on the GPU. Backward, the host lists the rows of each token; a thread then owns eight columns of one
// row of dweight and adds what belongs there in the order of rows: no atomics, and no sums that depend on timing.
#include <cstring>
#include <vector>

#include "cuda/copy_rows.cuh"
#include "cuda/cuda_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

using namespace cuda;

constexpr int kThreads = 128;
/// Rows loaded at once; element by element more of them take all registers.
template <bool kPacked>
constexpr int kInFlight = kPacked ? 8 : 2;

/// The rows of dout that add to one row of dweight: elements [begin, end) of the list of rows.
struct TokenRun {
  int32_t token, begin, end;
};

/// Sorts rows by token, each token's rows in their order, in time that does not depend on the size of the vocabulary
/// but for the clearing of `run_of`. `table` receives the runs, then the list of rows.
int64_t list_token_runs(const int32_t* tokens, int64_t n, std::vector<int32_t>& run_of, std::vector<int32_t>& table) {
  std::vector<TokenRun> runs;
  for (int64_t i = 0; i < n; ++i) {
    int32_t& run = run_of[static_cast<size_t>(tokens[i])];
    if (run < 0) {
      run = static_cast<int32_t>(runs.size());
      runs.push_back({tokens[i], 0, 0});
    }
    ++runs[static_cast<size_t>(run)].end;  // the number of rows, for now
  }
  int32_t begin = 0;
  for (TokenRun& run : runs) {
    const int32_t rows = run.end;
    run.begin = run.end = begin;
    begin += rows;
  }
  const size_t header = runs.size() * sizeof(TokenRun) / sizeof(int32_t);
  table.resize(header + static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    TokenRun& run = runs[static_cast<size_t>(run_of[static_cast<size_t>(tokens[i])])];
    table[header + static_cast<size_t>(run.end++)] = static_cast<int32_t>(i);
  }
  std::memcpy(table.data(), runs.data(), runs.size() * sizeof(TokenRun));
  return static_cast<int64_t>(runs.size());
}

/// Thread (run, group of eight columns).
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    embedding_backward_kernel(float* dweight, const T* dout, const TokenRun* runs, const int32_t* rows,
                              int64_t num_runs, int64_t columns) {
  const int64_t groups = lane_groups(columns);
  const int64_t index = quotient(grid_thread(), groups);
  if (index >= num_runs) return;
  const TokenRun run = runs[index];
  const int64_t column = (grid_thread() - index * groups) * kLanes, count = columns - column;
  float* to = dweight + run.token * columns + column;
  dout += column;
  Lanes sum = load_lanes<kPacked>(to, count);
  int32_t at = run.begin;
  for (; at + kInFlight<kPacked> <= run.end; at += kInFlight<kPacked>) {
    Lanes terms[kInFlight<kPacked>];
#pragma unroll
    for (int k = 0; k < kInFlight<kPacked>; ++k) terms[k] = load_lanes<kPacked>(dout + rows[at + k] * columns, count);
#pragma unroll
    for (int k = 0; k < kInFlight<kPacked>; ++k) add(sum, terms[k]);
  }
  for (; at < run.end; ++at) add(sum, load_lanes<kPacked>(dout + rows[at] * columns, count));
  store_lanes<kPacked>(to, sum, count);
}

}  // namespace

void CudaBackend::compute(const EmbeddingForward& op) {
  if (!on_device(op.tokens)) expect_in_range("embedding_forward", "tokens", op.tokens, 0, op.weight.dim(0));
  const int64_t n = op.out.dim(0), row_bytes = op.out.dim(1) * size_of(op.out.dtype);
  copy_rows(op.out.data, op.weight.data, indices(Table::tokens, op.tokens), n, row_bytes, stream_);
  launched("embedding_forward");
}

void CudaBackend::compute(const EmbeddingBackward& op) {
  expect_in_range("embedding_backward", "tokens", op.tokens, 0, op.dweight.dim(0));
  const int64_t n = op.dout.dim(0), c = op.dout.dim(1);
  if (n == 0 || c == 0) return;
  std::vector<int32_t> run_of(static_cast<size_t>(op.dweight.dim(0)), -1), table;
  const int64_t num_runs = list_token_runs(op.tokens.as<int32_t>(), n, run_of, table);
  const int32_t* lists = upload(Table::token_runs, table.data(), static_cast<int64_t>(table.size()));
  const auto* runs = reinterpret_cast<const TokenRun*>(lists);
  const int32_t* rows = lists + (static_cast<int64_t>(table.size()) - n);
  visit_device(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    float* dweight = op.dweight.as<float>();
    const T* dout = op.dout.as<T>();
    const auto kernel = lanes_packable<T>(c, dweight, dout) ? embedding_backward_kernel<T, true>
                                                            : embedding_backward_kernel<T, false>;
    LAUNCH(kernel, blocks_for(num_runs * lane_groups(c), kThreads), kThreads, 0, stream_, dweight, dout,
           runs, rows, num_runs, c);
  });
  launched("embedding_backward");
}

}  // namespace selfrefine
