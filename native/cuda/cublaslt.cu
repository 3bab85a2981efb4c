// Row-major products on a column-major library: a row-major (r, c) is a column-major (c, r), so that c = op(a) op(b) is
// asked for as its transpose, op(b)^T op(a)^T. The library's own row-major order has no bias.
#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "core/error.h"
#include "cuda/nvidia_library.h"

namespace selfrefine {

using namespace cublaslt;

namespace {

constexpr const char* kVariable = "SELFREFINE_CUBLASLT";

DataType data_type(DType dtype) { return dtype == DType::bf16 ? kR16BF : kR32F; }

/// Finds the functions and makes a handle; returns why that failed, or nothing.
std::string start(const NvidiaLibrary& library, Functions& functions, Handle& handle) {
  if (library.handle == nullptr) return concat("it cannot be opened:\n", library.tried);
#define SELFREFINE_FIND(name, result, arguments)                                                         \
  functions.name = reinterpret_cast<decltype(functions.name)>(dlsym(library.handle, "cublasLt" #name)); \
  if (functions.name == nullptr) return "it has no function cublasLt" #name;
  SELFREFINE_CUBLASLT(SELFREFINE_FIND)
#undef SELFREFINE_FIND
  const Status status = functions.Create(&handle);
  return status == kSuccess ? "" : concat("cublasLtCreate: ", functions.GetStatusString(status));
}

bool divisible(const void* address, int64_t row_bytes) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0 && row_bytes % 16 == 0;
}

bool supported(const CudaGemm& gemm) {
  const int64_t in = size_of(gemm.input_type), out = size_of(gemm.output_type);
  return gemm.k > 0 && !(gemm.residual && gemm.accumulate) && !(gemm.bias && gemm.input_type != gemm.output_type) &&
         divisible(gemm.a, (gemm.transpose_a ? gemm.m : gemm.k) * in) &&
         divisible(gemm.b, (gemm.transpose_b ? gemm.k : gemm.n) * in) && divisible(gemm.c, gemm.n * out) &&
         divisible(gemm.bias, 0) && divisible(gemm.residual, 0);
}

}  // namespace

/// The library's descriptors of one shape, and the algorithm; `usable` false: none does it.
struct CublasLt::Plan {
  explicit Plan(const Functions& library) : functions(library) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    for (const MatrixLayout layout : {first, second, result}) {
      if (layout) functions.MatrixLayoutDestroy(layout);
    }
    if (desc) functions.MatmulDescDestroy(desc);
  }

  const Functions& functions;
  MatmulDesc desc = nullptr;
  MatrixLayout first = nullptr, second = nullptr, result = nullptr;  // of b, a and c
  bool usable = false;
  MatmulAlgo algo{};
  size_t workspace_bytes = 0;
};

/// Where a product is computed.
struct CublasLt::Operands {
  void* out = nullptr;  // (m, n)
  void* workspace = nullptr;
  cudaStream_t stream{};
};

std::unique_ptr<CublasLt> CublasLt::load(const std::string& gpu) {
  const char* given = std::getenv(kVariable);
  const std::string choice = given != nullptr ? given : "";
  if (choice == "off") return nullptr;
#ifdef CUDASIM
  if (choice.empty()) return nullptr;
#endif
  const NvidiaLibrary library =
      choice.empty() ? find_nvidia_library({"libcublasLt.so.13", "libcublasLt.so.12"},
                                           {"nvidia/cu13/lib", "nvidia/cublas/lib"})
                     : open_nvidia_library(choice);
  Functions functions;
  Handle handle = nullptr;
  const std::string problem = start(library, functions, handle);
  if (problem.empty()) return std::unique_ptr<CublasLt>(new CublasLt(functions, handle, gpu));
  if (choice.empty()) return nullptr;
  fail(ErrorCode::cuda, kVariable, "=", choice, ": ", problem,
       "; name a libcublasLt.so of CUDA 12 or 13, or \"off\" to do without");
}

CublasLt::CublasLt(const Functions& functions, Handle handle, const std::string& gpu)
    : functions_(functions), handle_(handle), choices_(gpu, description()) {}

CublasLt::~CublasLt() {
  plans_.clear();
  functions_.Destroy(handle_);
}

std::string CublasLt::description() const {
  const size_t version = functions_.GetVersion();  // 13.1.0 is 130100
  return concat("cuBLASLt ", version / 10000, ".", version / 100 % 100, ".", version % 100);
}

void CublasLt::check(Status status, const char* what) const {
  if (status != kSuccess) fail(ErrorCode::cuda, "cuBLASLt: ", what, ": ", functions_.GetStatusString(status));
}

std::unique_ptr<CublasLt::Plan> CublasLt::make_plan(const CudaGemm& gemm) const {
  auto plan = std::make_unique<Plan>(functions_);
  const auto layout = [&](MatrixLayout* made, DType dtype, int64_t rows, int64_t columns) {
    check(functions_.MatrixLayoutCreate(made, data_type(dtype), static_cast<uint64_t>(columns),
                                        static_cast<uint64_t>(rows), columns), "MatrixLayoutCreate");
  };
  const auto describe = [&](MatmulDescAttribute attribute, auto value) {
    check(functions_.MatmulDescSetAttribute(plan->desc, attribute, &value, sizeof value), "MatmulDescSetAttribute");
  };
  check(functions_.MatmulDescCreate(&plan->desc, kCompute32F, kR32F), "MatmulDescCreate");
  describe(kDescTransposeA, static_cast<int32_t>(gemm.transpose_b ? kOpT : kOpN));
  describe(kDescTransposeB, static_cast<int32_t>(gemm.transpose_a ? kOpT : kOpN));
  describe(kDescEpilogue, static_cast<uint32_t>(gemm.bias ? kEpilogueBias : kEpilogueDefault));
  if (gemm.bias) {
    describe(kDescBiasDataType, static_cast<int32_t>(data_type(gemm.input_type)));
    describe(kDescBiasPointer, gemm.bias);  // the heuristic may look at it
  }
  const bool a_is_kxm = gemm.transpose_a, b_is_nxk = gemm.transpose_b;
  layout(&plan->first, gemm.input_type, b_is_nxk ? gemm.n : gemm.k, b_is_nxk ? gemm.k : gemm.n);
  layout(&plan->second, gemm.input_type, a_is_kxm ? gemm.k : gemm.m, a_is_kxm ? gemm.m : gemm.k);
  layout(&plan->result, gemm.output_type, gemm.m, gemm.n);
  return plan;
}

std::vector<MatmulAlgo> CublasLt::candidates(const CudaGemm& gemm, int most) const {
  constexpr int64_t kUsualRows = 4096;  // whatever the rows are: see CublasLtKind
  CudaGemm usual = gemm;
  (gemm.transpose_a ? usual.k : usual.m) = kUsualRows;
  const std::unique_ptr<Plan> plan = make_plan(usual);
  MatmulPreference made = nullptr;
  check(functions_.MatmulPreferenceCreate(&made), "MatmulPreferenceCreate");
  const std::unique_ptr<void, Status (*)(MatmulPreference)> preference(made, functions_.MatmulPreferenceDestroy);
  const auto prefer = [&](MatmulPreferenceAttribute attribute, auto value) {
    check(functions_.MatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
          "MatmulPreferenceSetAttribute");
  };
  prefer(kPreferenceMaxWorkspaceBytes, static_cast<uint64_t>(kWorkspaceBytes));
  prefer(kPreferenceReductionSchemeMask,
         static_cast<uint32_t>(gemm.transpose_a ? kReductionComputeType : kReductionNone));
  for (const auto attribute : {kPreferenceMinAlignmentA, kPreferenceMinAlignmentB, kPreferenceMinAlignmentC,
                               kPreferenceMinAlignmentD}) {
    prefer(attribute, uint32_t{16});
  }
  std::vector<HeuristicResult> results(static_cast<size_t>(most));
  int count = 0;
  const Status status = functions_.MatmulAlgoGetHeuristic(handle_, plan->desc, plan->first, plan->second, plan->result,
                                                          plan->result, made, most, results.data(), &count);
  if (status != kNotSupported) check(status, "MatmulAlgoGetHeuristic");
  std::vector<MatmulAlgo> algorithms;
  for (const HeuristicResult& result : results) {
    const bool is_one = &result - results.data() < count && result.state == kSuccess;
    if (status == kSuccess && is_one) algorithms.push_back(result.algo);
  }
  return algorithms;
}

void CublasLt::adopt(Plan& plan, const MatmulAlgo& algo) const {
  HeuristicResult result{};
  const Status status = functions_.MatmulAlgoCheck(handle_, plan.desc, plan.first, plan.second, plan.result,
                                                   plan.result, &algo, &result);
  plan.usable = status == kSuccess && result.state == kSuccess && result.workspace_bytes <= kWorkspaceBytes;
  plan.algo = algo;
  plan.workspace_bytes = result.workspace_bytes;
}

/// Each candidate is timed on the product itself, with its result going elsewhere: c may be an operand too.
std::optional<MatmulAlgo> CublasLt::fastest(const std::vector<MatmulAlgo>& candidates, Plan& plan,
                                            const CudaGemm& gemm, const Operands& operands) const {
  constexpr int kRounds = 3, kRuns = 4;
  Operands timed = operands;
  const auto bytes = static_cast<size_t>(gemm.m * gemm.n * size_of(gemm.output_type));
  if (cudaMalloc(&timed.out, bytes) != cudaSuccess) {
    cudaGetLastError();
    return std::nullopt;
  }
  const std::unique_ptr<void, cudaError_t (*)(void*)> owner(timed.out, [](void* memory) { return cudaFree(memory); });
  const auto seconds = [&](int runs) {
    cudaStreamSynchronize(timed.stream);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) check(run(plan, gemm, timed), "Matmul");
    cudaStreamSynchronize(timed.stream);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };

  std::optional<MatmulAlgo> best;
  double best_seconds = INFINITY;
  for (const MatmulAlgo& algo : candidates) {
    adopt(plan, algo);
    if (!plan.usable) continue;
    seconds(1);
    double least = INFINITY;
    for (int round = 0; round < kRounds; ++round) least = std::min(least, seconds(kRuns));
    if (least < best_seconds) {
      best = algo;
      best_seconds = least;
    }
  }
  return best;
}

std::optional<MatmulAlgo> CublasLt::choose(const CudaGemm& gemm, Plan& plan, const Operands& operands) {
  constexpr int kMostCandidates = 8;
  const CublasLtKind kind(gemm);
  if (const auto known = choices_.find(kind)) return known;
  const std::vector<MatmulAlgo> found = candidates(gemm, choices_.remembers() ? kMostCandidates : 1);
  if (found.empty()) return std::nullopt;
  if (choices_.remembers()) {
    const auto best = fastest(found, plan, gemm, operands);
    if (const auto choice = best ? choices_.remember(kind, *best) : std::nullopt) return choice;
  }
  return found.front();
}

CublasLt::Plan& CublasLt::plan_of(const CudaGemm& gemm, const Operands& operands) {
  const CublasLtKind kind(gemm);
  std::unique_ptr<Plan>& plan = plans_[{kind, gemm.transpose_a ? gemm.k : gemm.m}];
  if (plan) return *plan;
  std::unique_ptr<Plan> made = make_plan(gemm);
  if (!algorithms_.contains(kind)) algorithms_[kind] = choose(gemm, *made, operands);
  made->usable = false;
  if (const auto& algo = algorithms_[kind]) adopt(*made, *algo);
  plan = std::move(made);
  return *plan;
}

Status CublasLt::run(const Plan& plan, const CudaGemm& gemm, const Operands& operands) const {
  if (gemm.bias) {
    check(functions_.MatmulDescSetAttribute(plan.desc, kDescBiasPointer, &gemm.bias, sizeof gemm.bias), "bias");
  }
  // The residual, or the old value of c, is the library's C with a factor of 1; D = C in place or not, both are meant.
  const float one = 1, beta = gemm.residual || gemm.accumulate ? 1 : 0;
  const void* added = gemm.residual ? gemm.residual : gemm.c;
#ifdef CUDASIM
  if (cudasim::is_capturing(operands.stream)) fail(ErrorCode::internal, "cuBLASLt's stand-in cannot be recorded");
  cudasim::finish_all();  // the stand-in computes on the host, at once
  const cudasim::DeviceAccess access;
#endif
  return functions_.Matmul(handle_, plan.desc, &one, gemm.b, plan.first, gemm.a, plan.second, &beta, added,
                           plan.result, operands.out, plan.result, &plan.algo, operands.workspace,
                           plan.workspace_bytes, operands.stream);
}

bool CublasLt::multiply(const CudaGemm& gemm, void* workspace, cudaStream_t stream) {
  if (!supported(gemm)) return false;
  const Operands operands{gemm.c, workspace, stream};
  const Plan& plan = plan_of(gemm, operands);
  if (!plan.usable) return false;
  check(run(plan, gemm, operands), "Matmul");
  return true;
}

}  // namespace selfrefine
