// Stands for cuBLASLt in tests: the functions that are called, on host memory, by the formula of NVIDIA's reference.
// It is strict where the library is: sizes of attributes, shapes, pitches, alignment, combinations of types. It has two
// algorithms, summing in double and in float32, so that results tell which one ran.
#include "cuda/cublaslt_abi.h"

#include <algorithm>
#include <cstring>

#include "core/dtype.h"

using namespace selfrefine;
using namespace selfrefine::cublaslt;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Desc {
  int32_t transpose_a = kOpN, transpose_b = kOpN, bias_type = -1;
  uint32_t epilogue = kEpilogueDefault;
  const void* bias = nullptr;
};

struct Layout {
  DataType type;
  uint64_t rows, columns;
  int64_t pitch;
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t reduction = ~0u, alignment[4] = {256, 256, 256, 256};
};

constexpr uint64_t kAlgoMark = 0x5e1f;
constexpr int kAlgorithms = 2;
constexpr uint64_t kAlgorithmWorkspace = 4096;

bool is_algorithm(const MatmulAlgo& algo) { return algo.data[0] == kAlgoMark && algo.data[1] < kAlgorithms; }

double load(const void* from, DataType type, int64_t i) {
  return type == kR16BF ? to_float(static_cast<const bf16*>(from)[i]) : static_cast<const float*>(from)[i];
}

void store(void* to, DataType type, int64_t i, double value) {
  if (type == kR16BF) static_cast<bf16*>(to)[i] = from_float<bf16>(static_cast<float>(value));
  else static_cast<float*>(to)[i] = static_cast<float>(value);
}

Status copy_attribute(void* to, size_t wanted, const void* from, size_t size) {
  if (to == nullptr || size != wanted) return kInvalidValue;
  std::memcpy(to, from, size);
  return kSuccess;
}

bool unaligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 != 0; }

Status check_shapes(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const bool ta = desc.transpose_a == kOpT, tb = desc.transpose_b == kOpT;
  const uint64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns;
  if (m != d.rows || (tb ? b.columns : b.rows) != k || (tb ? b.rows : b.columns) != d.columns) return kInvalidValue;
  if (c.rows != d.rows || c.columns != d.columns || c.type != d.type) return kInvalidValue;
  if (a.type != b.type || (a.type == kR32F && d.type != kR32F)) return kNotSupported;
  if (desc.epilogue == kEpilogueBias && (desc.bias_type != d.type || desc.bias == nullptr)) return kNotSupported;
  return kSuccess;
}

}  // namespace

EXPORT Status cublasLtCreate(Handle* handle) {
  *handle = new int(0);
  return kSuccess;
}
EXPORT Status cublasLtDestroy(Handle handle) {
  delete static_cast<int*>(handle);
  return kSuccess;
}
EXPORT size_t cublasLtGetVersion() { return 130100; }
EXPORT const char* cublasLtGetStatusString(Status status) {
  return status == kSuccess ? "success" : status == kNotSupported ? "not supported" : "invalid value";
}

EXPORT Status cublasLtMatmulDescCreate(MatmulDesc* desc, ComputeType compute, DataType scale) {
  if (compute != kCompute32F || scale != kR32F) return kNotSupported;
  *desc = new Desc;
  return kSuccess;
}
EXPORT Status cublasLtMatmulDescDestroy(MatmulDesc desc) {
  delete static_cast<Desc*>(desc);
  return kSuccess;
}
EXPORT Status cublasLtMatmulDescSetAttribute(MatmulDesc given, MatmulDescAttribute attribute, const void* value,
                                             size_t size) {
  Desc& desc = *static_cast<Desc*>(given);
  switch (attribute) {
    case kDescTransposeA: return copy_attribute(&desc.transpose_a, 4, value, size);
    case kDescTransposeB: return copy_attribute(&desc.transpose_b, 4, value, size);
    case kDescEpilogue: return copy_attribute(&desc.epilogue, 4, value, size);
    case kDescBiasPointer: return copy_attribute(&desc.bias, 8, value, size);
    case kDescBiasDataType: return copy_attribute(&desc.bias_type, 4, value, size);
  }
  return kInvalidValue;
}

EXPORT Status cublasLtMatrixLayoutCreate(MatrixLayout* layout, DataType type, uint64_t rows, uint64_t columns,
                                         int64_t pitch) {
  if (pitch < static_cast<int64_t>(rows)) return kInvalidValue;
  *layout = new Layout{type, rows, columns, pitch};
  return kSuccess;
}
EXPORT Status cublasLtMatrixLayoutDestroy(MatrixLayout layout) {
  delete static_cast<Layout*>(layout);
  return kSuccess;
}

EXPORT Status cublasLtMatmulPreferenceCreate(MatmulPreference* preference) {
  *preference = new Preference;
  return kSuccess;
}
EXPORT Status cublasLtMatmulPreferenceDestroy(MatmulPreference preference) {
  delete static_cast<Preference*>(preference);
  return kSuccess;
}
EXPORT Status cublasLtMatmulPreferenceSetAttribute(MatmulPreference given, MatmulPreferenceAttribute attribute,
                                                   const void* value, size_t size) {
  Preference& preference = *static_cast<Preference*>(given);
  switch (attribute) {
    case kPreferenceMaxWorkspaceBytes: return copy_attribute(&preference.workspace, 8, value, size);
    case kPreferenceReductionSchemeMask: return copy_attribute(&preference.reduction, 4, value, size);
    default: return copy_attribute(&preference.alignment[attribute - kPreferenceMinAlignmentA], 4, value, size);
  }
}

EXPORT Status cublasLtMatmulAlgoGetHeuristic(Handle, MatmulDesc desc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                                             MatrixLayout d, MatmulPreference given, int wanted,
                                             HeuristicResult* result, int* found) {
  const Preference& preference = *static_cast<Preference*>(given);
  const Status status = check_shapes(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b),
                                     *static_cast<Layout*>(c), *static_cast<Layout*>(d));
  *found = 0;
  if (status != kSuccess || wanted < 1) return status;
  if (std::ranges::any_of(preference.alignment, [](uint32_t bytes) { return bytes > 16; })) return kNotSupported;
  if (preference.workspace < kAlgorithmWorkspace) return kNotSupported;
  for (*found = 0; *found < std::min(wanted, kAlgorithms); ++*found) {
    result[*found] = {};
    result[*found].algo.data[0] = kAlgoMark;
    result[*found].algo.data[1] = static_cast<uint64_t>(*found);
    result[*found].workspace_bytes = kAlgorithmWorkspace;
  }
  return kSuccess;
}

EXPORT Status cublasLtMatmulAlgoCheck(Handle, MatmulDesc desc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                                      MatrixLayout d, const MatmulAlgo* algo, HeuristicResult* result) {
  if (!is_algorithm(*algo)) return kInvalidValue;
  *result = {};
  result->algo = *algo;
  result->workspace_bytes = kAlgorithmWorkspace;
  return check_shapes(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b),
                      *static_cast<Layout*>(c), *static_cast<Layout*>(d));
}

EXPORT Status cublasLtMatmul(Handle, MatmulDesc given, const void* alpha, const void* a, MatrixLayout layout_a,
                             const void* b, MatrixLayout layout_b, const void* beta, const void* c,
                             MatrixLayout layout_c, void* d, MatrixLayout layout_d, const MatmulAlgo* algo,
                             void* workspace, size_t workspace_bytes, Stream) {
  const Desc& desc = *static_cast<Desc*>(given);
  const Layout &la = *static_cast<Layout*>(layout_a), &lb = *static_cast<Layout*>(layout_b);
  const Layout &lc = *static_cast<Layout*>(layout_c), &ld = *static_cast<Layout*>(layout_d);
  if (const Status status = check_shapes(desc, la, lb, lc, ld); status != kSuccess) return status;
  if (!is_algorithm(*algo) || unaligned(a) || unaligned(b) || unaligned(c) || unaligned(d)) return kInvalidValue;
  if (workspace_bytes != kAlgorithmWorkspace) return kInvalidValue;
  std::memset(workspace, 0xff, workspace_bytes);
  const bool ta = desc.transpose_a == kOpT, tb = desc.transpose_b == kOpT;
  const auto m = static_cast<int64_t>(ld.rows), n = static_cast<int64_t>(ld.columns);
  const auto k = static_cast<int64_t>(ta ? la.rows : la.columns);
  const float factor = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) {
        sum += load(a, la.type, ta ? p + i * la.pitch : i + p * la.pitch) *
               load(b, lb.type, tb ? j + p * lb.pitch : p + j * lb.pitch);
        if (algo->data[1] == 1) sum = static_cast<float>(sum);
      }
      sum *= factor;
      if (kept != 0) sum += kept * load(c, lc.type, i + j * lc.pitch);
      if (desc.epilogue == kEpilogueBias) sum += load(desc.bias, static_cast<DataType>(desc.bias_type), i);
      store(d, ld.type, i + j * ld.pitch, sum);
    }
  }
  return kSuccess;
}
