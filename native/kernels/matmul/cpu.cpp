// Linear layers on the CPU: three shapes of the one matrix product.
#include "cpu/cpu_backend.h"

namespace selfrefine {

namespace {

const void* data_or_null(const Tensor& tensor) { return tensor ? tensor.data : nullptr; }

}  // namespace

/// out = x weight^T (+ bias) (+ residual), with the weight's packed form if it is frozen.
GemmArgs CpuBackend::linear(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias,
                            const Tensor& residual) const {
  GemmArgs args;
  args.m = x.dim(0);
  args.n = weight.dim(0);
  args.k = weight.dim(1);
  args.a = {x.data, args.k};
  args.b = {weight.data, args.k};
  args.trans_b = true;
  args.c = out.data;
  args.ldc = args.n;
  args.ab_dtype = x.dtype;
  args.c_dtype = out.dtype;
  args.bias = data_or_null(bias);
  args.add = {data_or_null(residual), args.n};
  const auto frozen = frozen_.find(weight.data);
  if (frozen != frozen_.end()) args.packed_b = &frozen->second;
  return args;
}

void CpuBackend::matmul(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Tensor& residual) {
  multiply(linear(out, x, weight, bias, residual));
}

void CpuBackend::compute(const MatmulForward& op) {
  // The sum ends in float32 whatever T is, so a bias of T must be of the type of out; logits have none.
  if (op.bias && op.bias.dtype != op.out.dtype) {
    fail(ErrorCode::unsupported, "matmul_forward: bias is ", op.bias.describe(), " but out is ", op.out.describe(),
         ", expected the same type");
  }
  matmul(op.out, op.x, op.weight, op.bias, op.residual);
}

void CpuBackend::compute(const MatmulBackwardInput& op) {
  GemmArgs args;
  args.m = op.dout.dim(0);
  args.n = op.weight.dim(1);
  args.k = op.weight.dim(0);
  args.a = {op.dout.data, args.k};
  args.b = {op.weight.data, args.n};
  args.c = op.dx.data;
  args.ldc = args.n;
  args.ab_dtype = args.c_dtype = op.dout.dtype;
  if (op.accumulate) args.add = {op.dx.data, args.n};
  multiply(args);
}

void CpuBackend::compute(const MatmulBackwardWeight& op) {
  const int64_t rows = op.dout.dim(0), o = op.dout.dim(1), i = op.x.dim(1);
  GemmArgs args;
  args.m = o;
  args.n = i;
  args.k = rows;
  args.a = {op.dout.data, o};
  args.trans_a = true;
  args.b = {op.x.data, i};
  args.c = op.dweight.data;
  args.ldc = i;
  args.ab_dtype = op.dout.dtype;
  args.add = {op.dweight.data, i};
  multiply(args);
  if (!op.dbias) return;
  add_row_blocks(op.dbias.as<float>(), rows, o, [&](int64_t begin, int64_t end, float* sums) {
    const char* block = op.dout.as<char>() + begin * o * size_of(op.dout.dtype);
    isa_.row.column_sums(sums, block, op.dout.dtype, end - begin, o);
  });
}

}  // namespace selfrefine
