// The paged cache on the GPU. In a page the K heads follow one another, each with page_size rows of D, keys and values
// alike: what one head has of a page is contiguous.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "kernels/indices.h"
#include "kernels/kv_cache/cuda_decode.cuh"

namespace selfrefine {

namespace cuda {

namespace {

constexpr int kWriteThreads = 256;

/// A thread copies one Unit of a key or value: the keys of a row lie before its values, head after head.
template <typename Unit>
__global__ void __launch_bounds__(kWriteThreads)
    kv_write_kernel(Unit* k_cache, Unit* v_cache, const Unit* qkv, const int32_t* slots, int64_t rows, int num_heads,
                    int kv_heads, int64_t page_size, int64_t d) {
  const int64_t row_units = 2 * kv_heads * d, index = grid_thread(), row = quotient(index, row_units);
  if (row >= rows || slots[row] < 0) return;
  const int64_t slot = slots[row], page = quotient(slot, page_size), offset = slot - page * page_size;
  const int64_t unit = index - row * row_units, head = quotient(unit, d), i = unit - head * d;
  const bool is_value = head >= kv_heads;
  const int64_t to = ((page * kv_heads + (is_value ? head - kv_heads : head)) * page_size + offset) * d + i;
  (is_value ? v_cache : k_cache)[to] = qkv[(row * (num_heads + 2 * kv_heads) + num_heads + head) * d + i];
}

template <typename Unit>
void write_rows(const KvCacheWrite& op, const int32_t* slots, int64_t row_bytes, cudaStream_t stream) {
  const int64_t d = row_bytes / static_cast<int64_t>(sizeof(Unit)), rows = op.qkv.dim(0), heads = op.k_cache.dim(1);
  const unsigned blocks = blocks_for(rows * 2 * heads * d, kWriteThreads);
  LAUNCH(kv_write_kernel<Unit>, blocks, kWriteThreads, 0, stream, op.k_cache.as<Unit>(), op.v_cache.as<Unit>(),
         op.qkv.as<Unit>(), slots, rows, op.num_heads, static_cast<int>(heads), op.k_cache.dim(2), d);
}

template <typename T>
using DecodeKernel = void (*)(const DecodeTask<T>);

/// The instance for a group of heads: enough lanes for D, as many heads a pass as the group has.
template <typename T, int kHeads>
DecodeKernel<T> kernel_for(int64_t d) {
  if (d <= 8 * kLanes) return decode_kernel<T, kHeads, 8, true>;
  if (d <= 16 * kLanes) return decode_kernel<T, kHeads, 16, true>;
  return decode_kernel<T, kHeads, 32, true>;
}

template <typename T>
DecodeKernel<T> kernel_for(int64_t d, int64_t group, bool vector) {
  if (!vector) return decode_kernel<T, 4, 16, false>;
  if (group == 1) return kernel_for<T, 1>(d);
  return group <= 4 ? kernel_for<T, 4>(d) : kernel_for<T, 8>(d);
}

/// How many splits the longest row has. Lengths on the device are not known here, but a bound of them is: a split
/// without keys costs little.
int64_t splits_of(const AttentionDecode& op, bool lengths_known) {
  int64_t longest = op.page_table.dim(1) * op.k_cache.dim(2);
  if (op.max_length > 0) longest = std::min(longest, op.max_length);
  const int32_t* lengths = op.lengths.as<int32_t>();
  if (lengths_known) longest = *std::max_element(lengths, lengths + op.lengths.dim(0));
  const int64_t seen = op.window > 0 ? std::min<int64_t>(longest, op.window) : longest;
  return std::max<int64_t>(1, (seen + kSplitKeys - 1) / kSplitKeys);
}

}  // namespace

}  // namespace cuda

void CudaBackend::compute(const KvCacheWrite& op) {
  const int64_t all_slots = op.k_cache.dim(0) * op.k_cache.dim(2);
  if (!on_device(op.slots)) expect_in_range("kv_cache_write", "slots", op.slots, -1, all_slots);
  const int64_t rows = op.qkv.dim(0), row_bytes = op.k_cache.dim(3) * size_of(op.qkv.dtype);
  if (rows == 0 || row_bytes == 0) return;
  const int32_t* slots = indices(Table::slots, op.slots);
  const auto bits = reinterpret_cast<uintptr_t>(op.k_cache.data) | reinterpret_cast<uintptr_t>(op.v_cache.data) |
                    reinterpret_cast<uintptr_t>(op.qkv.data) | static_cast<uintptr_t>(row_bytes);
  const auto write = bits % sizeof(uint4) == 0      ? cuda::write_rows<uint4>
                     : bits % sizeof(uint32_t) == 0 ? cuda::write_rows<uint32_t>
                                                    : cuda::write_rows<uint16_t>;
  write(op, slots, row_bytes, stream_);
  launched("kv_cache_write");
}

void CudaBackend::compute(const KvCacheCopyPage& op) {
  if (op.from == op.to) return;
  const int64_t bytes = op.k_cache.dim(1) * op.k_cache.dim(2) * op.k_cache.dim(3) * size_of(op.k_cache.dtype);
  for (const Tensor* cache : {&op.k_cache, &op.v_cache}) {
    char* pages = cache->as<char>();
    check_cuda(cudaMemcpyAsync(pages + op.to * bytes, pages + op.from * bytes, static_cast<size_t>(bytes),
                               cudaMemcpyDeviceToDevice, stream_),
               "kv_cache_copy_page");
  }
}

void CudaBackend::compute(const AttentionDecode& op) {
  const bool lengths_known = !on_device(op.lengths);
  if (lengths_known && !on_device(op.page_table)) {
    expect_pages("attention_decode", op.page_table, op.lengths, op.k_cache.dim(0), op.k_cache.dim(2));
  }
  const int64_t rows = op.qkv.dim(0), kv_heads = op.k_cache.dim(1), d = op.k_cache.dim(3);
  if (rows == 0 || d == 0) return;
  const int64_t splits = cuda::splits_of(op, lengths_known);
  visit_device(op.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    cuda::DecodeTask<T> task{};
    task.out = op.out.as<T>();
    task.qkv = op.qkv.as<T>();
    task.k_cache = op.k_cache.as<T>();
    task.v_cache = op.v_cache.as<T>();
    task.page_table = indices(Table::pages, op.page_table);
    task.lengths = indices(Table::lengths, op.lengths);
    task.max_pages = op.page_table.dim(1);
    task.page_size = op.k_cache.dim(2);
    task.d = static_cast<int>(d);
    task.heads = op.num_heads;
    task.kv_heads = static_cast<int>(kv_heads);
    task.splits = static_cast<int>(splits);
    task.window = op.window;
    task.scale = op.scale;
    if (splits > 1) task.partials = scratch_of<float>(Scratch::attention, rows * op.num_heads * splits * (d + 2));
    const bool vector = cuda::lanes_packable<T>(d, task.out, task.qkv, task.k_cache, task.v_cache);
    const auto kernel = cuda::kernel_for<T>(d, op.num_heads / kv_heads, vector);
    // Rows in x: the only dimension of a grid without a narrow bound.
    const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(kv_heads), static_cast<unsigned>(splits));
    LAUNCH(kernel, grid, cuda::kDecodeThreads, 0, stream_, task);
    launched("attention_decode");
    if (splits == 1) return;
    LAUNCH(cuda::combine_kernel<T>, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(op.num_heads)),
           cuda::kCombineThreads, 0, stream_, task);
    launched("attention_decode");
  });
}

}  // namespace selfrefine
