// The reference backend: plain loops in the order of the formula, sums in double, one thread, never optimised.
// It is the truth that the other backends are tested against. Its kernels are kernels/<family>/reference.cpp.
#pragma once

#include "backend.h"

namespace selfrefine {

class ReferenceBackend final : public Backend {
 public:
  const char* name() const override { return "reference"; }
  std::string description() const override;
  std::shared_ptr<void> allocate(const char* arena, size_t bytes) override;
  int64_t available_bytes() const override;
  void freeze(std::span<const Tensor>) override {}
  void thaw() override {}

 protected:
#define SELFREFINE_DECLARE(Op) void compute(const Op& op) override;
  SELFREFINE_OPS(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE
};

}  // namespace selfrefine
