// Matrix products by NVIDIA's cuBLASLt, loaded at run time if it is there: the library that is fastest for large ones.
// Its descriptors are made once for each shape. Its algorithm is chosen once for each kind of product, whatever the
// number of rows, and without splitting the sum of a row: so a row's bits do not depend on how many rows there are.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/cublaslt_abi.h"
#include "cuda/cublaslt_choices.h"
#include "cuda/gemm.h"
#include "cuda/language.h"

namespace selfrefine {

class CublasLt {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  /// Null if there is no such library or SELFREFINE_CUBLASLT=off. If that variable is a path, it is that file or
  /// ERR_CUDA; the simulation knows no other way, as it could not share memory with the real library.
  /// `gpu` is the device's name.
  static std::unique_ptr<CublasLt> load(const std::string& gpu);

  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  ~CublasLt();

  /// "cuBLASLt 13.1.0"
  std::string description() const;

  /// Queues the product; false, with nothing queued, for what the library or this class does not do: addresses or rows
  /// that 16 bytes do not divide, a residual and an old value at once, a bias of another type than c.
  bool multiply(const CudaGemm& gemm, void* workspace, cudaStream_t stream);

 private:
  struct Plan;
  struct Operands;
  using Shape = std::pair<CublasLtKind, int64_t>;  // and the rows

  CublasLt(const cublaslt::Functions& functions, cublaslt::Handle handle, const std::string& gpu);
  void check(cublaslt::Status status, const char* what) const;
  std::unique_ptr<Plan> make_plan(const CudaGemm& gemm) const;
  Plan& plan_of(const CudaGemm& gemm, const Operands& operands);
  /// Nothing if the library has none.
  std::optional<cublaslt::MatmulAlgo> choose(const CudaGemm& gemm, Plan& plan, const Operands& operands);
  std::vector<cublaslt::MatmulAlgo> candidates(const CudaGemm& gemm, int most) const;
  std::optional<cublaslt::MatmulAlgo> fastest(const std::vector<cublaslt::MatmulAlgo>& candidates, Plan& plan,
                                              const CudaGemm& gemm, const Operands& operands) const;
  /// Makes `algo` the plan's, unless it does not do this shape.
  void adopt(Plan& plan, const cublaslt::MatmulAlgo& algo) const;
  cublaslt::Status run(const Plan& plan, const CudaGemm& gemm, const Operands& operands) const;

  cublaslt::Functions functions_;
  cublaslt::Handle handle_ = nullptr;
  CublasLtChoices choices_;
  std::map<CublasLtKind, std::optional<cublaslt::MatmulAlgo>> algorithms_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;
};

}  // namespace selfrefine
