// Backends that count memory and compute nothing, so that the engine can be rehearsed: constructed and stepped to learn
// what it would take. The CPU backend counts its own work areas (BackendOptions::rehearsal); the reference has none;
// those of the CUDA backend are bounded here, where neither it nor a GPU need be there.
#pragma once

#include <array>
#include <string>

#include "backend.h"

namespace selfrefine {

/// Hands out addresses with nothing behind them, but where host code may write.
class RehearsalBackend : public Backend {
 public:
  RehearsalBackend(std::string name, bool host_memory) : name_(std::move(name)), host_memory_(host_memory) {}

  const char* name() const override { return name_.c_str(); }
  std::string description() const override { return name_ + ", rehearsed"; }
  std::shared_ptr<void> allocate(const char* arena, size_t bytes) override;
  std::shared_ptr<void> allocate_shared(const char* arena, size_t bytes) override;
  bool host_memory() const override { return host_memory_; }
  void copy(void*, const void*, size_t) override {}
  void zero(void*, size_t) override {}
  int64_t available_bytes() const override { return INT64_MAX; }
  void freeze(std::span<const Tensor>) override {}
  void thaw() override {}

 protected:
#define SELFREFINE_DECLARE(Op) \
  void compute(const Op&) override {}
  SELFREFINE_OPS(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE

 private:
  std::string name_;
  bool host_memory_;
  uintptr_t next_ = uintptr_t{1} << 40;  // no two arenas share an address
};

/// Bounds of the CUDA backend's work areas: what they are on a GPU with at most kMultiprocessors, with cuBLASLt.
class CudaRehearsal final : public RehearsalBackend {
 public:
  explicit CudaRehearsal(std::string name) : RehearsalBackend(std::move(name), false) {}
  bool records() const override { return true; }
  int64_t head_chunk_rows(int64_t vocab_size) const override;
  int64_t scratch_bytes() const override;

 protected:
  using RehearsalBackend::compute;
  void compute(const EmbeddingForward& op) override;
  void compute(const EmbeddingBackward& op) override;
  void compute(const GatherRows& op) override;
  void compute(const ScatterRows& op) override;
  void compute(const RmsNormBackward& op) override;
  void compute(const HeadNormBackward& op) override;
  void compute(const RopeForward& op) override;
  void compute(const MatmulForward& op) override;
  void compute(const MatmulBackwardWeight& op) override;
  void compute(const AttentionForward& op) override;
  void compute(const AttentionBackward& op) override;
  void compute(const LmHeadForward& op) override;
  void compute(const LmHeadLoss& op) override;
  void compute(const PreferenceLoss& op) override;
  void compute(const SumOfSquares& op) override;
  void compute(const KvCacheWrite& op) override;
  void compute(const AttentionDecode& op) override;
  void compute(const SampleTokens& op) override;

 private:
  /// The areas of CudaBackend::Scratch, and its tables: those of one size share a name here.
  enum class Area { gemm, logits, statistics, partials, attention, tables, count };
  void grow(Area area, int64_t bytes);
  void sum_over_rows(int64_t m, int64_t n, int64_t k);
  void table(int64_t bytes);

  std::array<int64_t, static_cast<size_t>(Area::count)> areas_{};
};

}  // namespace selfrefine
