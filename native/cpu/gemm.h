// Matrix products of the CPU backend: c = a b (+ bias) (+ add), row-major, summed in fp32, on all threads of a pool.
// An element of c depends on its row of a, its column of b and k alone, bit for bit: not on m, n, its position, the
// number of threads or whether b was packed before. A second pair of operands of zeros changes no bit of it.
// It knows nothing of layers or ops.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "cpu/gemm_kernels.h"
#include "cpu/huge_buffer.h"
#include "cpu/thread_pool.h"

namespace selfrefine {

namespace gemm {
struct Tile;
}

/// A row-major operand that is read: element (i, j) at data[i * ld + j].
struct ConstMatrix {
  const void* data = nullptr;
  int64_t ld = 0;
};

/// The right operand of a product, packed once to be used often: weights in decoding, or over micro-batches.
class PackedMatrix {
 public:
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t bytes() const { return memory_.bytes(); }

 private:
  friend class Gemm;
  HugeBuffer memory_;
  const GemmKernels* kernels_ = nullptr;
  DType dtype_ = DType::f32;
  int64_t n_ = 0, k_ = 0, panel_stride_ = 0;
};

struct GemmArgs {
  int64_t m = 0, n = 0, k = 0;
  ConstMatrix a{};  // (m, k), or (k, m) if trans_a
  ConstMatrix b{};  // (k, n), or (n, k) if trans_b; unused if packed_b is given
  void* c = nullptr;  // (m, n)
  int64_t ldc = 0;
  DType ab_dtype = DType::f32;  // float32, or bfloat16
  DType c_dtype = DType::f32;   // float32, or bfloat16 with bfloat16 operands
  bool trans_a = false, trans_b = false;
  const void* bias = nullptr;  // (n) of c_dtype, or none
  ConstMatrix add{};             // (m, n) of c_dtype, or none; may be c itself, to accumulate
  const PackedMatrix* packed_b = nullptr;
  // A second pair of operands, (m, k2) and (k2, n), or (n, k2) if trans_b: their product is added to the sum before it
  // is rounded. Not with trans_a.
  int64_t k2 = 0;
  ConstMatrix a2{};
  ConstMatrix b2{};
};

/// The three products of a linear layer y = x W^T (+ bias), x (N, in), W (out, in):
///   y = x W^T     {m = N,   n = out, k = in,  a = x,  b = W, trans_b}
///   dx = dy W     {m = N,   n = in,  k = out, a = dy, b = W}
///   dW += dy^T x  {m = out, n = in,  k = N,   a = dy, b = x, trans_a, add = dW}
///
/// One object serves one caller at a time: it owns the work area, which grows in the first calls, to about 20 MiB at
/// most.
class Gemm {
 public:
  Gemm(const GemmKernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// Throws invalid_argument or shape on impossible arguments, out_of_memory if the work area cannot grow.
  void operator()(const GemmArgs& args);

  /// Packs b, (k, n) or (n, k) if trans_b, into `packed`, whose memory is kept if it is large enough.
  void pack_b(PackedMatrix& packed, ConstMatrix b, bool trans_b, int64_t n, int64_t k, DType dtype);

  int64_t workspace_bytes() const {
    return first_.a.bytes() + first_.b.bytes() + second_.a.bytes() + second_.b.bytes() + sums_.bytes();
  }

 private:
  struct Plan;
  struct Part;
  /// Where the operands of one pair are packed.
  struct Areas {
    HugeBuffer a, b;
  };

  Plan make_plan(const GemmArgs& args) const;
  void prepare(const GemmArgs& args, const Plan& plan, Part& part, Areas& areas);
  void prepare_a(const GemmArgs& args, const Plan& plan, Part& part, HugeBuffer& area);
  void prepare_b(const GemmArgs& args, const Plan& plan, Part& part, HugeBuffer& area);
  void prepare_own_a(const GemmArgs& args, const Plan& plan, Part& part, int64_t rows, HugeBuffer& area);
  void pack_shared(const PackJob& job);
  void multiply_part(const GemmArgs& args, const Plan& plan, Part& part);
  void multiply_tile(const GemmArgs& args, const Plan& plan, const Part& part, gemm::Tile tile, int thread);

  const GemmKernels& kernels_;
  ThreadPool& pool_;
  Areas first_, second_;
  HugeBuffer sums_;
};

}  // namespace selfrefine
