// Attention on the GPU: tiles are cut on the host (cuda_plan.h); bfloat16 runs on tensor cores, float32 plainly. No sum
// depends on the order in which blocks run, and none on where a sequence lies in its batch.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "kernels/attention/cuda_backward.cuh"
#include "kernels/attention/cuda_forward.cuh"
#include "kernels/attention/cuda_launch.cuh"
#include "kernels/attention/cuda_plain_backward.cuh"
#include "kernels/attention/cuda_statistics.cuh"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

using namespace cuda;

template <typename Op>
AttentionCut cut_of(const Op& op) {
  return {op.segments, op.positions, op.window, tile_sizes(op.qkv.dtype, op.qkv.dim(2), op.scale)};
}

/// Starts a kernel that takes one block for each tile and head, with as much shared memory as it needs.
template <typename T>
void launch_tiles(void (*kernel)(const AttentionArguments<T>), int64_t blocks, int parts, int threads, int shared_bytes,
                  cudaStream_t stream, const AttentionArguments<T>& a) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), "attention");
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(parts));
  LAUNCH(kernel, grid, static_cast<unsigned>(threads), static_cast<size_t>(shared_bytes), stream, a);
}

/// The tensor-core kernels of the way back, where `most_shared` bytes of a block are enough for them. False, with
/// nothing queued, where not: for heads over 128 on GPUs of 8.6, 8.9 and 12.x, whose blocks have 99 KiB.
bool backward_on_tensor_cores(const AttentionArguments<bfloat16>& of_queries, int64_t query_blocks,
                              const AttentionArguments<bfloat16>& of_keys, int64_t key_blocks, int most_shared,
                              cudaStream_t stream) {
  return visit_head_dim(of_keys.d, [&](auto dim) {
    using Shapes = AttentionShapes<dim()>;
    constexpr int kTiles = Shapes::kQueryTiles, kKeys = Shapes::kQueryKeys;
    constexpr int kKeyTiles = Shapes::kKeyTiles, kParts = Shapes::kColumnParts;
    constexpr int kQueries = Shapes::kKeyQueries, kFew = Shapes::kFewKeyQueries;
    using OfQueries = BackwardQueriesShape<dim(), kTiles, kKeys>;
    using OfKeys = BackwardKeysShape<dim(), kKeyTiles, kQueries, kParts>;
    using OfFewKeys = BackwardKeysShape<dim(), kKeyTiles, kFew, kParts>;
    if (std::max(OfQueries::kSharedBytes, OfFewKeys::kSharedBytes) > most_shared) return false;
    launch_tiles(attention_backward_queries_kernel<dim(), kTiles, kKeys>, query_blocks, 1, OfQueries::kThreads,
                 OfQueries::kSharedBytes, stream, of_queries);
    const bool few = OfKeys::kSharedBytes > most_shared;
    launch_tiles(few ? attention_backward_keys_kernel<dim(), kKeyTiles, kFew, kParts>
                     : attention_backward_keys_kernel<dim(), kKeyTiles, kQueries, kParts>,
                 key_blocks, 1, OfKeys::kThreads, few ? OfFewKeys::kSharedBytes : OfKeys::kSharedBytes, stream,
                 of_keys);
    return true;
  });
}

/// Blocks that share a tile and a head in the plain kernels.
int plain_parts(int d) { return (d + Plain::kColumns - 1) / Plain::kColumns; }

}  // namespace

void CudaBackend::compute(const AttentionForward& op) {
  expect_segments("attention_forward", op.segments, op.qkv.dim(0));
  if (op.qkv.elements() == 0 || attend_on_hopper(op)) return;
  const AttentionCut cut = cut_of(op);
  const int64_t blocks = cut.forward() * op.num_heads;
  visit_device(op.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    AttentionArguments<T> a = arguments_of<T>(op);
    a.tiles = upload(Table::attention_work, cut.tiles().data(), static_cast<int64_t>(cut.tiles().size()));
    a.window = cut.window();
    if (a.window > 0) a.positions = upload(Table::positions, op.positions.as<int32_t>(), op.positions.dim(0));
    a.packed = packable<T>(a.d, a.qkv, a.out);
    if constexpr (std::is_same_v<T, bfloat16>) {
      if (on_tensor_cores(op.qkv.dtype, a.d, op.scale)) {
        visit_head_dim(a.d, [&](auto dim) {
          using Shapes = AttentionShapes<dim()>;
          constexpr int kTiles = Shapes::kForwardTiles, kKeys = Shapes::kForwardKeys;
          using Shape = ForwardShape<dim(), kTiles, kKeys>;
          launch_tiles(attention_forward_kernel<dim(), kTiles, kKeys>, blocks, 1, Shape::kThreads,
                       Shape::kSharedBytes, stream_, a);
        });
        return;
      }
    }
    launch_tiles(attention_forward_plain<T>, blocks, plain_parts(a.d), Plain::kThreads, sizeof(Plain), stream_, a);
  });
  launched("attention_forward");
}

void CudaBackend::compute(const AttentionBackward& op) {
  expect_segments("attention_backward", op.segments, op.qkv.dim(0));
  if (op.qkv.elements() == 0 || attend_on_hopper(op)) return;
  const AttentionCut cut = cut_of(op);
  const int64_t query_blocks = cut.backward_queries() * op.num_heads;
  const int64_t key_blocks = cut.backward_keys() * op.num_kv_heads;
  visit_device(op.qkv.dtype, [&](auto zero) {
    using T = decltype(zero);
    AttentionArguments<T> a = arguments_of<T>(op);
    a.dout = op.dout.as<T>();
    a.dqkv = op.dqkv.as<T>();
    a.statistics = scratch_of<float2>(Scratch::attention, op.lse.elements());
    const auto* tiles = upload(Table::attention_work, cut.tiles().data(), static_cast<int64_t>(cut.tiles().size()));
    a.window = cut.window();
    if (a.window > 0) a.positions = upload(Table::positions, op.positions.as<int32_t>(), op.positions.dim(0));
    a.packed = packable<T>(a.d, a.qkv, a.dout, a.dqkv);
    launch_statistics(a, stream_);
    launched("attention_backward");
    AttentionArguments<T> of_queries = a, of_keys = a;
    of_queries.tiles = tiles + cut.forward();
    of_keys.tiles = of_queries.tiles + cut.backward_queries();
    if constexpr (std::is_same_v<T, bfloat16>) {
      const int most_shared = static_cast<int>(properties_.sharedMemPerBlockOptin);
      if (on_tensor_cores(op.qkv.dtype, a.d, op.scale) &&
          backward_on_tensor_cores(of_queries, query_blocks, of_keys, key_blocks, most_shared, stream_)) {
        return;
      }
    }
    const int parts = plain_parts(a.d), bytes = sizeof(Plain);
    launch_tiles(attention_backward_queries_plain<T>, query_blocks, parts, Plain::kThreads, bytes, stream_, of_queries);
    launch_tiles(attention_backward_keys_plain<T>, key_blocks, parts, Plain::kThreads, bytes, stream_, of_keys);
  });
  launched("attention_backward");
}

}  // namespace selfrefine
