// The embedding on the GPU. Backward, the host lists the rows of each token; a thread then owns eight columns of one
// row of dweight and adds what belongs there in the order of rows: no atomics, and no sums that depend on timing. The
// rows of a frequent token, a hundred times those of the others, are cut into pieces, whose sums are added likewise.
#include <algorithm>
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
constexpr int32_t kPieceRows = 32;  // at most

/// Rows of dout that are added: elements [begin, end) of the list of rows. To row `to` of dweight, or, where that is
/// negative, they make row -1 - to of the sums of pieces.
struct TokenRun {
  int32_t to, begin, end;
};

/// What a call has to add, tokens in the order in which they come first.
struct TokenRuns {
  std::vector<TokenRun> runs;  // first all of rows, then those of sums of pieces
  size_t of_rows = 0;          // how many are of rows
  int64_t pieces = 0;
  std::vector<int32_t> rows;   // the list of rows
};

/// Sorts rows by token, each token's rows in their order, in time that does not depend on the size of the vocabulary.
TokenRuns list_token_runs(const int32_t* tokens, int64_t n, int64_t vocab_size) {
  thread_local std::vector<int32_t> run_of;  // kept: clearing all of it would take longer than the rest
  if (run_of.size() < static_cast<size_t>(vocab_size)) run_of.resize(static_cast<size_t>(vocab_size));
  for (int64_t i = 0; i < n; ++i) run_of[static_cast<size_t>(tokens[i])] = -1;
  std::vector<TokenRun> of_tokens;
  for (int64_t i = 0; i < n; ++i) {
    int32_t& run = run_of[static_cast<size_t>(tokens[i])];
    if (run < 0) {
      run = static_cast<int32_t>(of_tokens.size());
      of_tokens.push_back({tokens[i], 0, 0});
    }
    ++of_tokens[static_cast<size_t>(run)].end;  // the number of rows until `begin` is known
  }
  int32_t begin = 0;
  for (TokenRun& run : of_tokens) {
    const int32_t rows = run.end;
    run.begin = run.end = begin;
    begin += rows;
  }
  TokenRuns list;
  list.rows.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    TokenRun& run = of_tokens[static_cast<size_t>(run_of[static_cast<size_t>(tokens[i])])];
    list.rows[static_cast<size_t>(run.end++)] = static_cast<int32_t>(i);
  }
  std::vector<TokenRun> of_pieces;
  int32_t pieces = 0;
  for (const TokenRun& run : of_tokens) {
    if (run.end - run.begin <= kPieceRows) {
      list.runs.push_back(run);
      continue;
    }
    of_pieces.push_back({run.to, pieces, pieces});
    for (int32_t at = run.begin; at < run.end; at += kPieceRows) {
      list.runs.push_back({-1 - pieces++, at, std::min(at + kPieceRows, run.end)});
    }
    of_pieces.back().end = pieces;
  }
  list.of_rows = list.runs.size();
  list.pieces = pieces;
  list.runs.insert(list.runs.end(), of_pieces.begin(), of_pieces.end());
  return list;
}

/// sum += rows of dout, the first `left` of kCount; all are loaded before the first is added.
template <int kCount, bool kPacked, typename T>
__device__ __forceinline__ void add_rows(Lanes& sum, const T* dout, const int32_t* rows, int32_t at, int32_t left,
                                         int64_t columns, int64_t count) {
  RawLanes<T> terms[kCount];
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    const int64_t row = k >= left ? 0 : rows ? rows[at + k] : at + k;
    terms[k] = load_raw<kPacked>(dout + row * columns, k < left ? count : 0);
  }
#pragma unroll
  for (int k = 0; k < kCount; ++k) add(sum, to_lanes(terms[k]));
}

/// Thread (run, group of eight columns). `rows` is null where the list of rows is 0, 1, 2, ...
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    embedding_backward_kernel(float* dweight, float* pieces, const T* dout, const TokenRun* runs, const int32_t* rows,
                              int64_t num_runs, int64_t columns) {
  constexpr int kMany = kInFlight<kPacked>, kFew = kMany / 2;
  const int64_t groups = lane_groups(columns);
  const int64_t index = quotient(grid_thread(), groups);
  if (index >= num_runs) return;
  const TokenRun run = runs[index];
  const bool is_piece = run.to < 0;
  const int64_t column = (grid_thread() - index * groups) * kLanes, count = columns - column;
  float* to = is_piece ? pieces + (-1 - run.to) * columns + column : dweight + run.to * columns + column;
  dout += column;
  Lanes sum = load_lanes<kPacked>(to, is_piece ? 0 : count);
  int32_t at = run.begin;
  for (; at + kMany <= run.end; at += kMany) add_rows<kMany, kPacked>(sum, dout, rows, at, kMany, columns, count);
  for (; at < run.end; at += kFew) add_rows<kFew, kPacked>(sum, dout, rows, at, run.end - at, columns, count);
  store_lanes<kPacked>(to, sum, count);
}

/// Queues the sums of `num_runs` runs.
template <typename T>
void launch_runs(float* dweight, float* pieces, const T* dout, const TokenRun* runs, const int32_t* rows,
                 int64_t num_runs, int64_t columns, cudaStream_t stream) {
  if (num_runs == 0) return;
  const auto kernel = lanes_packable<T>(columns, dweight, pieces, dout) ? embedding_backward_kernel<T, true>
                                                                        : embedding_backward_kernel<T, false>;
  LAUNCH(kernel, blocks_for(num_runs * lane_groups(columns), kThreads), kThreads, 0, stream, dweight, pieces, dout,
         runs, rows, num_runs, columns);
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
  const TokenRuns list = list_token_runs(op.tokens.as<int32_t>(), n, op.dweight.dim(0));
  const size_t runs_bytes = list.runs.size() * sizeof(TokenRun), rows_at = runs_bytes / sizeof(int32_t);
  std::vector<int32_t> table(rows_at + list.rows.size());  // one upload
  std::memcpy(table.data(), list.runs.data(), runs_bytes);
  std::memcpy(table.data() + rows_at, list.rows.data(), list.rows.size() * sizeof(int32_t));
  const int32_t* uploaded = upload(Table::token_runs, table.data(), static_cast<int64_t>(table.size()));
  const auto* runs = reinterpret_cast<const TokenRun*>(uploaded);
  const auto of_rows = static_cast<int64_t>(list.of_rows), of_pieces = static_cast<int64_t>(list.runs.size()) - of_rows;
  float *dweight = op.dweight.as<float>(), *pieces = scratch_of<float>(Scratch::partials, list.pieces * c);
  visit_device(op.dout.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_runs(dweight, pieces, op.dout.as<T>(), runs, uploaded + rows_at, of_rows, c, stream_);
    launched("embedding_backward");
    launch_runs<float>(dweight, nullptr, pieces, runs + of_rows, nullptr, of_pieces, c, stream_);
  });
  launched("embedding_backward");
}

}  // namespace selfrefine
