// Matrix products by NVIDIA's cuBLASLt, loaded at run time if it is there: the library that is fastest for large ones.
// What it is asked for is worked out once for each shape. Which algorithm it picks depends on the whole shape, the
// number of rows too, so a row's bits may depend on how many rows there are: see CudaBackend::multiply.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "cuda/cublaslt_abi.h"
#include "cuda/gemm.h"
#include "cuda/language.h"

namespace selfrefine {

class CublasLt {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  /// Null if there is no such library or SELFREFINE_CUBLASLT=off. If that variable is a path, it is that file or
  /// ERR_CUDA; the simulation knows no other way, as it could not share memory with the real library.
  static std::unique_ptr<CublasLt> load();

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
  /// m, n, k, transpose_a, transpose_b, input type, output type, bias, beta
  using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, DType, DType, bool, bool>;

  CublasLt(const cublaslt::Functions& functions, cublaslt::Handle handle);
  void check(cublaslt::Status status, const char* what) const;
  std::unique_ptr<Plan> make_plan(const CudaGemm& gemm) const;
  Plan& plan_of(const CudaGemm& gemm);

  cublaslt::Functions functions_;
  cublaslt::Handle handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace selfrefine
