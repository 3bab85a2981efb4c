// What each op of the CUDA backend takes for itself. Exact for the loss head and the attention, which matter; a bound
// for partial sums, which follow the number of multiprocessors, and for tables of indices, which grow by doubling.
#include "kernels/rehearsal.h"

#include <numeric>

#include "core/memory.h"
#include "cuda/workspace.h"

namespace selfrefine {

namespace {

constexpr int64_t kMultiprocessors = 160;              // more than any GPU of today
constexpr int64_t kGemmBytes = int64_t{32} << 20;      // cuBLASLt's workspace
constexpr int64_t kThreadsPerMultiprocessor = 2048;
constexpr int64_t kFewestThreads = 64;                 // of a block of a norm's backward pass
constexpr int64_t kTables = 13;                        // of indices, each at most twice as large as it need be
constexpr int64_t kWordBytes = 4;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::shared_ptr<void> RehearsalBackend::allocate(const char* arena, size_t bytes) {
  if (host_memory_) return reserve_addresses(arena, bytes);
  constexpr size_t kPage = 4096;
  const uintptr_t address = next_;
  next_ += (bytes / kPage + 1) * kPage;
  return {reinterpret_cast<void*>(address), [](void*) {}};
}

std::shared_ptr<void> RehearsalBackend::allocate_shared(const char* arena, size_t bytes) {
  return reserve_addresses(arena, bytes);
}

int64_t CudaRehearsal::head_chunk_rows(int64_t vocab_size) const { return cuda::head_loss_rows(vocab_size); }

int64_t CudaRehearsal::scratch_bytes() const { return std::accumulate(areas_.begin(), areas_.end(), int64_t{0}); }

void CudaRehearsal::grow(Area area, int64_t bytes) {
  int64_t& known = areas_[static_cast<size_t>(area)];
  known = std::max(known, bytes);
}

void CudaRehearsal::table(int64_t bytes) { grow(Area::tables, kTables * 2 * std::max<int64_t>(bytes, 4096)); }

/// A product whose sum runs over the rows of a batch is split where it has few tiles of 64 x 64.
void CudaRehearsal::sum_over_rows(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kTile = 64, kMost = 32, kShortest = 256;
  const int64_t tiles = std::max<int64_t>(1, divide_up(m, kTile) * divide_up(n, kTile));
  const int64_t parts = std::min({divide_up(2 * kMultiprocessors, tiles), kMost, k / kShortest});
  grow(Area::gemm, std::max(kGemmBytes, parts > 1 ? parts * m * n * kWordBytes : 0));
}

void CudaRehearsal::compute(const EmbeddingForward& op) { table(op.tokens.bytes()); }
void CudaRehearsal::compute(const EmbeddingBackward& op) { table(4 * op.tokens.bytes()); }
void CudaRehearsal::compute(const GatherRows& op) { table(op.rows.bytes()); }
void CudaRehearsal::compute(const ScatterRows& op) { table(op.out.dim(0) * kWordBytes); }
void CudaRehearsal::compute(const RopeForward& op) { table(op.positions.bytes()); }
void CudaRehearsal::compute(const PreferenceLoss& op) { table(op.sequence_ends.bytes()); }
void CudaRehearsal::compute(const KvCacheWrite& op) { table(op.slots.bytes()); }
void CudaRehearsal::compute(const SampleTokens& op) { table(op.keys.bytes()); }

void CudaRehearsal::compute(const RmsNormBackward& op) {
  const int64_t blocks = std::min(op.x.dim(0), kMultiprocessors * kThreadsPerMultiprocessor / kFewestThreads);
  grow(Area::partials, blocks * 2 * op.x.dim(1) * kWordBytes);
}

void CudaRehearsal::compute(const HeadNormBackward& op) {
  const int64_t vectors = op.x.dim(0) * op.x.dim(1);
  const int64_t blocks = std::min(vectors, kMultiprocessors * kThreadsPerMultiprocessor / kFewestThreads);
  grow(Area::partials, blocks * 2 * op.x.dim(2) * kWordBytes);
}

void CudaRehearsal::compute(const MatmulForward&) { grow(Area::gemm, kGemmBytes); }

void CudaRehearsal::compute(const MatmulBackwardWeight& op) {
  const int64_t rows = op.dout.dim(0), columns = op.dout.dim(1);
  sum_over_rows(columns, op.x.dim(1), rows);
  if (op.dbias) grow(Area::partials, std::min(divide_up(rows, 64), 4 * kMultiprocessors) * columns * kWordBytes);
}

void CudaRehearsal::compute(const AttentionForward& op) {
  constexpr int64_t kTileRows = 64, kTileBytes = 32, kLists = 3;
  table(kLists * kTileBytes * (op.qkv.dim(0) / kTileRows + op.segments.dim(0)));
}

void CudaRehearsal::compute(const AttentionBackward& op) { grow(Area::attention, 2 * op.lse.bytes()); }

void CudaRehearsal::compute(const LmHeadForward& op) {
  const int64_t v = op.weight.dim(0);
  if (op.x.dim(0) > 0) grow(Area::logits, cuda::head_forward_rows(op.x.dim(0), v) * v * kWordBytes);
}

void CudaRehearsal::compute(const LmHeadLoss& op) {
  const int64_t v = op.weight.dim(0), c = op.weight.dim(1);
  int64_t begin = 0;
  for (const int64_t end : op.chunk_ends) {
    const int64_t rows = end - begin;
    grow(Area::logits, cuda::head_loss_area(rows, v, c, op.x.dtype == DType::bf16).floats * kWordBytes);
    grow(Area::statistics, rows * kWordBytes);
    sum_over_rows(v, c, rows);
    if (op.on_chunk) op.on_chunk(begin, end);
    begin = end;
  }
}

void CudaRehearsal::compute(const SumOfSquares& op) {
  constexpr int64_t kBlock = 16384, kSumBytes = 8;
  grow(Area::partials, divide_up(op.x.dim(0), kBlock) * kSumBytes);
}

void CudaRehearsal::compute(const AttentionDecode& op) {
  constexpr int64_t kSplitKeys = 256;
  const int64_t rows = op.qkv.dim(0), splits = divide_up(op.page_table.dim(1) * op.k_cache.dim(2), kSplitKeys);
  if (splits > 1) grow(Area::attention, rows * op.num_heads * splits * (op.qkv.dim(2) + 2) * kWordBytes);
  table(op.page_table.bytes());
}

}  // namespace selfrefine
