// Low-rank adapters on the CPU. The adapters' product is a second pair of operands of the product with the weight, so
// that no output is read again; for that the b of several adapters are laid out as one block-diagonal matrix.
#include <algorithm>
#include <cstring>

#include "cpu/cpu_backend.h"

namespace selfrefine {

namespace {

constexpr const char* kArea = "work area of adapters";

ConstMatrix dense(const Tensor& x) { return {x.data, x.dim(1)}; }

const char* element(const Tensor& x, int64_t index) { return x.as<char>() + index * size_of(x.dtype); }

}  // namespace

/// out = scale x, rounded to the type of out, of which x may be the memory.
void CpuBackend::scale_to(const Tensor& out, const float* x, float scale) {
  const int64_t size = size_of(out.dtype);
  parallel_blocks(out.elements(), 8192, [&](int64_t begin, int64_t end, int) {
    isa_.row.scale(out.as<char>() + begin * size, out.dtype, x + begin, end - begin, scale);
  });
}

/// b as (O, P r), zero where a row is not of the adapter of that column; behind the first floats of lora_.
const void* CpuBackend::expand_blocks(const LoraForward& op, int64_t begin_floats) {
  const int64_t o = op.weight.dim(0), ranks = op.a.dim(0), r = op.b.dim(1), size = size_of(op.b.dtype);
  char* to = reinterpret_cast<char*>(lora_.as<float>() + begin_floats);
  parallel_rows(o, ranks, [&](int64_t from, int64_t until, int) {
    std::memset(to + from * ranks * size, 0, static_cast<size_t>((until - from) * ranks * size));
    for_each_block(op.blocks, [&](int64_t p, int64_t begin, int64_t end, int64_t first) {
      for (int64_t row = std::max(begin, from); row < std::min(end, until); ++row) {
        std::memcpy(to + (row * ranks + p * r) * size, element(op.b, (first + row - begin) * r),
                    static_cast<size_t>(r * size));
      }
    });
  });
  return to;
}

void CpuBackend::compute(const LoraForward& op) {
  const int64_t n = op.x.dim(0), o = op.weight.dim(0), ranks = op.a.dim(0);
  const bool whole = is_whole(op.blocks, o), narrow = op.u.dtype != DType::f32;
  const int64_t sums = narrow ? n * ranks : 0;
  float* area = work_area(lora_, sums + (whole ? 0 : o * ranks), kArea);
  float* products = narrow ? area : op.u.as<float>();
  matmul(Tensor(products, DType::f32, {n, ranks}), op.x, op.a, {}, {});
  if (narrow || op.scale != 1) scale_to(op.u, products, op.scale);

  GemmArgs args = linear(op.out, op.x, op.weight, op.bias, op.residual);
  args.k2 = ranks;
  args.a2 = dense(op.u);
  args.b2 = {whole ? op.b.data : expand_blocks(op, sums), ranks};
  multiply(args);
}

void CpuBackend::compute(const LoraBackwardWeight& op) {
  const int64_t n = op.x.dim(0), i = op.x.dim(1), o = op.dout.dim(1), r = op.b.dim(1), ranks = op.u.dim(1);
  const bool narrow = op.du.dtype != DType::f32;
  float* sums = narrow ? work_area(lora_, n * ranks, kArea) : op.du.as<float>();
  GemmArgs args;
  args.ab_dtype = op.dout.dtype;
  for_each_block(op.blocks, [&](int64_t p, int64_t begin, int64_t end, int64_t first) {
    args.trans_a = false;
    args.m = n;
    args.n = r;
    args.k = end - begin;
    args.a = {element(op.dout, begin), o};
    args.b = {element(op.b, first * r), r};
    args.c = sums + p * r;
    args.ldc = ranks;
    args.add = {};
    multiply(args);

    args.trans_a = true;
    args.m = end - begin;
    args.k = n;
    args.b = {element(op.u, p * r), ranks};
    args.c = op.db.as<float>() + first * r;
    args.ldc = r;
    args.add = {args.c, r};
    multiply(args);
  });
  if (narrow || op.scale != 1) scale_to(op.du, sums, op.scale);

  args.m = ranks;
  args.n = i;
  args.k = n;
  args.a = dense(op.du);
  args.b = dense(op.x);
  args.c = op.da.data;
  args.ldc = i;
  args.add = {op.da.data, i};
  multiply(args);
}

void CpuBackend::compute(const LoraBackwardInput& op) {
  GemmArgs args;
  args.m = op.dx.dim(0);
  args.n = op.dx.dim(1);
  args.k = op.weight.dim(0);
  args.a = dense(op.dout);
  args.b = dense(op.weight);
  args.k2 = op.a.dim(0);
  args.a2 = dense(op.du);
  args.b2 = dense(op.a);
  args.c = op.dx.data;
  args.ldc = args.n;
  args.ab_dtype = args.c_dtype = op.dx.dtype;
  multiply(args);
}

}  // namespace selfrefine
