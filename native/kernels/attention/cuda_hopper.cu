// Attention by Hopper's kernels: for which heads, with which tiles.
#include "cuda/cuda_backend.h"
#include "cuda/hopper.cuh"
#include "cuda/tensor_map.h"
#include "kernels/attention/cuda_hopper_backward.cuh"
#include "kernels/attention/cuda_hopper_forward.cuh"
#include "kernels/attention/cuda_launch.cuh"
#include "kernels/attention/cuda_statistics.cuh"
#include "kernels/indices.h"

namespace selfrefine {

namespace {

using namespace cuda;

/// Shapes for head_dim up to kDim, as large as registers allow; the code of a window needs some itself.
template <int kDim, bool kWindow>
struct HopperShapes;
template <bool kWindow>
struct HopperShapes<64, kWindow> {
  using Forward = HopperForward<64, kWindow ? 2 : 3, kWindow>;
  using OfQueries = HopperBackward<64, 128, true>;
  using OfKeys = HopperBackward<64, 64, true>;
};
template <bool kWindow>
struct HopperShapes<128, kWindow> {
  using Forward = HopperForward<128, 2, true>;
  using OfQueries = HopperBackward<128, 64, true>;
  using OfKeys = HopperBackward<128, kWindow ? 32 : 64, kWindow>;
};

/// Heads that TMA can read, and that are not so narrow that most of a line were empty.
template <typename... Pointers>
bool fits_hopper(const Tensor& qkv, float scale, Pointers... read) {
  const int64_t d = qkv.dim(2);
  return qkv.dtype == DType::bf16 && scale > 0 && d > 32 && d <= 128 && packable<bfloat16>(d, qkv.data, read...);
}

template <int kDim, typename F>
void visit_windows(bool window, F&& f) {
  if (window) f(HopperShapes<kDim, true>{});
  else f(HopperShapes<kDim, false>{});
}

template <typename Op, typename F>
void visit_shapes(const Op& op, F&& f) {
  const bool window = narrow_window(op.positions, op.window) > 0;
  if (op.qkv.dim(2) <= 64) visit_windows<64>(window, f);
  else visit_windows<128>(window, f);
}

/// Boxes of one head of `rows` rows, of (N, heads, d).
TensorMap head_map(const void* data, int64_t n, int64_t heads, int64_t d, int rows) {
  return tensor_map(data, {d, heads, n}, {2 * d, 2 * heads * d}, {64, 1, rows});
}

template <typename Shape>
void start(void (*kernel)(const HopperAttention), const HopperAttention& all, int sm_count, cudaStream_t stream) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kSharedBytes),
             "attention");
  LAUNCH(kernel, static_cast<unsigned>(std::min(all.items, sm_count)), Shape::kThreads, Shape::kSharedBytes, stream,
         all);
}

}  // namespace

bool CudaBackend::attend_on_hopper(const AttentionForward& op) {
  if (!hopper_ || !fits_hopper(op.qkv, op.scale)) return false;
  visit_shapes(op, [&](auto shapes) {
    using Shape = typename decltype(shapes)::Forward;
    const AttentionCut cut(op.segments, op.positions, op.window, {Shape::kRows, Shape::kRows, Shape::kRows});
    HopperAttention all{arguments_of<bfloat16>(op), static_cast<int>(cut.forward()) * op.num_heads, {}, {}, {}};
    auto& a = all.a;
    a.tiles = upload(Table::attention_work, cut.tiles().data(), static_cast<int64_t>(cut.tiles().size()));
    a.window = cut.window();
    if (a.window > 0) a.positions = upload(Table::positions, op.positions.as<int32_t>(), op.positions.dim(0));
    a.packed = packable<bfloat16>(a.d, a.out);
    const int64_t rows = a.rows, heads = op.qkv.dim(1);
    all.queries = head_map(a.qkv, rows, heads, a.d, Shape::kRows);
    all.keys = head_map(a.qkv, rows, heads, a.d, Shape::kKeys);
    start<Shape>(attention_forward_hopper<Shape>, all, properties_.multiProcessorCount, stream_);
  });
  launched("attention_forward");
  return true;
}

bool CudaBackend::attend_on_hopper(const AttentionBackward& op) {
  if (!hopper_ || !fits_hopper(op.qkv, op.scale, op.dout.data)) return false;
  visit_shapes(op, [&](auto shapes) {
    using OfQueries = typename decltype(shapes)::OfQueries;
    using OfKeys = typename decltype(shapes)::OfKeys;
    const AttentionCut cut(op.segments, op.positions, op.window, {OfKeys::kRows, OfQueries::kRows, OfKeys::kRows});
    HopperAttention all{arguments_of<bfloat16>(op), 0, {}, {}, {}};
    auto& a = all.a;
    a.dout = op.dout.as<bfloat16>();
    a.dqkv = op.dqkv.as<bfloat16>();
    a.statistics = scratch_of<float2>(Scratch::attention, op.lse.elements());
    const auto* tiles = upload(Table::attention_work, cut.tiles().data(), static_cast<int64_t>(cut.tiles().size()));
    a.window = cut.window();
    if (a.window > 0) a.positions = upload(Table::positions, op.positions.as<int32_t>(), op.positions.dim(0));
    a.packed = packable<bfloat16>(a.d, a.dqkv);
    launch_statistics(a, stream_);
    launched("attention_backward");
    const int64_t rows = a.rows, heads = op.qkv.dim(1);
    const int sm_count = properties_.multiProcessorCount;
    const auto maps = [&](int query_rows, int key_rows) {
      all.queries = head_map(a.qkv, rows, heads, a.d, query_rows);
      all.keys = head_map(a.qkv, rows, heads, a.d, key_rows);
      all.douts = head_map(a.dout, rows, a.heads, a.d, query_rows);
    };
    a.tiles = tiles + cut.forward();
    all.items = static_cast<int>(cut.backward_queries()) * op.num_heads;
    maps(OfQueries::kRows, OfQueries::kOthers);
    start<OfQueries>(attention_backward_hopper<OfQueries, true>, all, sm_count, stream_);
    a.tiles += cut.backward_queries();
    all.items = static_cast<int>(cut.backward_keys()) * op.num_kv_heads;
    maps(OfKeys::kOthers, OfKeys::kRows);
    start<OfKeys>(attention_backward_hopper<OfKeys, false>, all, sm_count, stream_);
  });
  launched("attention_backward");
  return true;
}

}  // namespace selfrefine
