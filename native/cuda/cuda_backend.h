// The backend on an NVIDIA GPU: one stream, kernels of kernels/<family>/cuda.cu launched in order on it. Device memory
// comes from allocate(), what the host reads and writes too from allocate_shared(): pinned memory, the same address on
// both sides. run() returns when its work is queued; synchronize() when it is done.
// Compiled by nvcc it is the backend "cuda"; compiled by g++ over sim/sim.h it is "cuda-sim", where work waits until
// somebody waits for it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "backend.h"
#include "cuda/device_table.h"
#include "cuda/cublaslt.h"
#include "cuda/device_ranges.h"
#include "cuda/gemm.h"
#include "cuda/language.h"
#include "cuda/workspace.h"

namespace selfrefine {

/// Throws ERR_CUDA, or ERR_OUT_OF_MEMORY, naming what was tried, unless `status` is success.
void check_cuda(cudaError_t status, const char* what);

class CudaBackend final : public Backend {
 public:
  /// Throws ERR_CUDA where there is no usable device, with the reason and the remedy.
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  const char* name() const override;
  std::string description() const override;
  std::shared_ptr<void> allocate(const char* arena, size_t bytes) override;
  std::shared_ptr<void> allocate_shared(const char* arena, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void zero(void* memory, size_t bytes) override;
  void synchronize() override;
  void mark() override;
  void wait_for_mark() override;
  bool host_memory() const override { return false; }
  bool records() const override;
  std::unique_ptr<Recording> make_recording() override;
  int64_t head_chunk_rows(int64_t vocab_size) const override { return cuda::head_loss_rows(vocab_size); }
  int64_t scratch_bytes() const override { return scratch_bytes_.load(std::memory_order_relaxed); }
  int64_t available_bytes() const override;
  /// Frozen weights are those that samples are drawn with: see multiply().
  void freeze(std::span<const Tensor>) override { frozen_ = true; }
  void thaw() override { frozen_ = false; }

 protected:
  void enter() override;
#define SELFREFINE_DECLARE(Op) void compute(const Op& op) override;
  SELFREFINE_OPS(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE

 private:
  /// Device work areas, one a purpose, which grow to what the ops need and are then kept. The contents are lost from
  /// one op to the next.
  enum class Scratch { gemm, logits, rows, partials, attention, sampling, lora, count };
  void* scratch(Scratch purpose, size_t bytes);
  template <typename T>
  T* scratch_of(Scratch purpose, int64_t elements) {
    return static_cast<T*>(scratch(purpose, static_cast<size_t>(elements) * sizeof(T)));
  }

  /// Tables that the host makes, or has checked, and kernels read; ops that share one take turns.
  enum class Table {
    tokens, token_runs, positions, rows, row_sources, segments, attention_work, targets, sequences, slots, pages,
    lengths, keys, count
  };
  /// A copy on the device of `count` elements, for kernels launched before the next upload to this table: all index
  /// tensors (positions, segments, ...) and all lists of work go this way. See DeviceTable: equal contents cost only a
  /// comparison, and `host` may be a local vector.
  template <typename T>
  const T* upload(Table table, const T* host, int64_t count) {
    return static_cast<const T*>(upload_bytes(table, host, static_cast<size_t>(count) * sizeof(T)));
  }
  const void* upload_bytes(Table table, const void* host, size_t bytes);

  /// True if the tensor lies in memory of allocate(): its values are known to the device alone.
  bool on_device(const Tensor& tensor) const { return device_ranges_->contains(tensor.data); }
  /// An i32 tensor for kernels: in place where it lies on the device, else uploaded.
  const int32_t* indices(Table table, const Tensor& tensor) {
    return on_device(tensor) ? tensor.as<int32_t>() : upload(table, tensor.as<int32_t>(), tensor.elements());
  }

  friend class CudaRecording;
  /// Throws ERR_INTERNAL in the middle of recorded work, which must neither wait nor read what the host holds now.
  void expect_not_recording(const char* what) const;

  /// Queues a matrix product; see cuda/gemm.h. Implemented in cuda/gemm.cu.
  void multiply(const CudaGemm& gemm);
  bool is_for_large_kernels(const CudaGemm& gemm) const;
  /// Two pairs of operands, where they are not for mma.sync: by wgmma, or as two products. False, with nothing queued,
  /// if they are.
  bool multiply_pairs(const CudaGemm& gemm);
  /// Whether one of two products may be computed by cuBLASLt or wgmma.
  bool is_apart(const CudaGemm& gemm) const;
  /// False, with nothing queued, where Hopper's kernels are not used or do not take it. In cuda/gemm_hopper.cu.
  bool multiply_on_hopper(const CudaGemm& gemm);

  /// False, with nothing queued, likewise. In kernels/attention/cuda_hopper.cu.
  bool attend_on_hopper(const AttentionForward& op);
  bool attend_on_hopper(const AttentionBackward& op);

  /// Both rotary ops: turns the first `heads` heads of each row. In kernels/rope/cuda.cu.
  void rotate(const Tensor& qkv, const Tensor& positions, const Tensor& inv_freq, int heads, bool interleaved,
              float sign);

  /// out = scale a op(b), rounded; the float32 sums need `out.elements()` of scratch. In kernels/lora/cuda.cu.
  void multiply_scaled(const Tensor& out, float* sums, CudaGemm gemm, float scale);

  /// Parts of the loss head. In kernels/lm_head/cuda.cu.
  void head_logits(const Tensor& x, const Tensor& weight, int64_t begin, int64_t end, float* logits);
  void head_gradient(const LmHeadLoss& op, const void* dlogits, const float* dlogps, float* area, int64_t begin,
                     int64_t end);

  /// What a kernel finds wrong with real-valued data is reported by the next synchronize() or wait_for_mark().
  /// In kernels/sampling/cuda.cu.
  int32_t* damaged_row();
  void report_damaged_row();

  /// To call after each LAUNCH: throws ERR_CUDA with the op's name if the launch was refused.
  void launched(const char* op) { check_cuda(cudaGetLastError(), op); }

  struct Area {
    void* data = nullptr;
    size_t bytes = 0;
  };

  int device_ = 0;
  cudaDeviceProp properties_{};
  cudaStream_t stream_{};
  cudaEvent_t mark_{};
  bool hopper_ = false;    // whether kernels of wgmma and TMA may be used
  bool clusters_ = false;  // whether kernels of clusters may be
  std::unique_ptr<CublasLt> cublaslt_;  // null where there is none
  bool frozen_ = false;
  bool is_recording_ = false;
  int64_t epoch_ = 0;  // grows when memory moves that recorded work may use
  std::shared_ptr<DeviceRanges> device_ranges_ = std::make_shared<DeviceRanges>();
  std::array<Area, static_cast<size_t>(Scratch::count)> areas_;
  std::array<DeviceTable, static_cast<size_t>(Table::count)> tables_;
  std::shared_ptr<void> damaged_row_;
  std::atomic<int64_t> scratch_bytes_{0};
};

/// Calls f with a zero of the device's storage type of a real-valued tensor, float or bfloat16.
template <typename F>
decltype(auto) visit_device(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::bf16: return f(bfloat16{});
    default:
      fail(ErrorCode::unsupported, "dtype ", name_of(dtype), " is not computed in, expected float32 or bfloat16");
  }
}

}  // namespace selfrefine
