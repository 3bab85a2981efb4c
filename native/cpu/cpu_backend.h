// The fast backend on host memory: vector kernels of the best instruction set, all threads of one pool, work areas that
// grow to what the ops need and are then kept. The parallel loop of each op is in kernels/<family>/cpu.cpp; tasks and
// blocks have sizes that do not depend on the number of threads, and neither do the results.
#pragma once

#include <atomic>
#include <unordered_map>
#include <vector>

#include "backend.h"
#include "cpu/gemm.h"
#include "cpu/huge_buffer.h"
#include "cpu/isa/table.h"
#include "cpu/thread_pool.h"
#include "kernels/attention/cpu_plan.h"
#include "kernels/rope/cpu_angles.h"

namespace selfrefine {

class CpuBackend final : public Backend {
 public:
  /// Throws as ThreadPool (threads) and choose_isa (SELFREFINE_CPU_ISA) do.
  explicit CpuBackend(const BackendOptions& options);

  const char* name() const override { return "cpu"; }
  std::string description() const override;
  std::shared_ptr<void> allocate(const char* arena, size_t bytes) override;
  void freeze(std::span<const Tensor> weights) override;
  void thaw() override;
  int64_t scratch_bytes() const override { return scratch_bytes_.load(std::memory_order_relaxed); }
  int64_t packed_bytes() const override { return frozen_bytes_.load(std::memory_order_relaxed); }
  int64_t available_bytes() const override;

 protected:
#define SELFREFINE_DECLARE(Op) void compute(const Op& op) override;
  SELFREFINE_OPS(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE

 private:
  /// Calls body(begin, end, thread) for consecutive blocks of [0, count).
  template <typename Body>
  void parallel_blocks(int64_t count, int64_t block, const Body& body) {
    pool_.parallel_for((count + block - 1) / block, [&](int64_t task, int thread) {
      body(task * block, task * block + block < count ? task * block + block : count, thread);
    });
  }

  /// Blocks of rows that are about a first-level cache long.
  template <typename Body>
  void parallel_rows(int64_t rows, int64_t columns, const Body& body) {
    const int64_t fitting = columns > 0 ? 8192 / columns : 1;
    parallel_blocks(rows, fitting > 1 ? fitting : 1, body);
  }

  /// At least `floats` floats in a buffer whose contents may be lost.
  float* work_area(HugeBuffer& buffer, int64_t floats, const char* what);
  void count_scratch();

  void multiply(const GemmArgs& args);

  /// `floats` floats for each thread, valid until the next call.
  class ThreadScratch {
   public:
    float* of(int thread) const { return base_ + thread * stride_; }

   private:
    friend class CpuBackend;
    float* base_ = nullptr;
    int64_t stride_ = 0;
  };
  ThreadScratch thread_scratch(int64_t floats);

  /// to[0, size) += sums of blocks, where fill(begin, end, block_sums) writes the sums of rows [begin, end).
  template <typename Fill>
  void add_row_blocks(float* to, int64_t rows, int64_t size, const Fill& fill);
  void add_partials(float* to, int64_t blocks, int64_t size);

  GemmArgs linear(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual) const;
  void matmul(const Tensor& out, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual);
  void rotate(const Tensor& qkv, const Tensor& positions, const Tensor& inv_freq, int64_t heads, bool interleaved,
              float sign);
  /// In kernels/lora/cpu.cpp.
  void scale_to(const Tensor& out, const float* x, float scale);
  const void* expand_blocks(const LoraForward& op, int64_t begin_floats);
  template <typename Op>
  AttentionView pack_attention(const Op& op, bool backward);
  /// Where the gradients of logits go; no data: nowhere.
  struct LogitGradient {
    void* data = nullptr;
    DType dtype = DType::f32;
    int64_t row_bytes = 0;  // from one row to the next
  };
  float* head_logits(const Tensor& x, const Tensor& weight, int64_t begin, int64_t end);
  void head_rows(float* logps, float* metrics, const LogitGradient& gradient, float* logits, const int32_t* targets,
                 int64_t rows, int64_t v);
  void scale_rows(const Tensor& to, const Tensor& x, const float* factors);
  int32_t sample_row(const SampleTokens& op, int64_t b, float highest, float* masses);
  void head_gradient(const LmHeadLoss& op, int64_t begin, int64_t end);

  ThreadPool pool_;
  const IsaKernels& isa_;
  Gemm gemm_;
  std::unordered_map<const void*, PackedMatrix> frozen_;
  std::atomic<int64_t> frozen_bytes_{0};
  RopeAngleTable angles_;
  AttentionPlan plan_;
  HugeBuffer threads_, partials_, logits_, head_rows_, panels_, lora_;
  std::atomic<int64_t> scratch_bytes_{0};
};

template <typename Fill>
void CpuBackend::add_row_blocks(float* to, int64_t rows, int64_t size, const Fill& fill) {
  constexpr int64_t kRows = 64;
  const int64_t blocks = (rows + kRows - 1) / kRows;
  float* partials = work_area(partials_, blocks * size, "sums over blocks of rows");
  parallel_blocks(rows, kRows, [&](int64_t begin, int64_t end, int) {
    fill(begin, end, partials + begin / kRows * size);
  });
  add_partials(to, blocks, size);
}

}  // namespace selfrefine
