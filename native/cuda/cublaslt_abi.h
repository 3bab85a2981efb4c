// The part of cuBLASLt's C interface that is used, so that neither headers nor the library are needed to build. Names
// and values as in NVIDIA's cublasLt.h 12 and 13. Descriptors are made by the library alone: their sizes do change.
#pragma once

#include <cstddef>
#include <cstdint>

namespace selfrefine::cublaslt {

using Handle = void*;
using MatmulDesc = void*;
using MatrixLayout = void*;
using MatmulPreference = void*;
using Stream = void*;

enum Status : int { kSuccess = 0, kInvalidValue = 7, kNotSupported = 15 };
enum ComputeType : int { kCompute32F = 68 };  // float32 sums; float32 inputs are not rounded to TF32
enum DataType : int { kR32F = 0, kR16BF = 14 };
enum Operation : int { kOpN = 0, kOpT = 1 };

enum MatmulDescAttribute : int {
  kDescTransposeA = 3,      // int32_t
  kDescTransposeB = 4,      // int32_t
  kDescEpilogue = 7,        // uint32_t
  kDescBiasPointer = 8,     // void*
  kDescBiasDataType = 26,   // int32_t
};
enum Epilogue : uint32_t { kEpilogueDefault = 1, kEpilogueBias = 4 };

enum MatmulPreferenceAttribute : int {
  kPreferenceMaxWorkspaceBytes = 1,    // uint64_t
  kPreferenceReductionSchemeMask = 3,  // uint32_t
  kPreferenceMinAlignmentA = 5,        // uint32_t, as the next ones
  kPreferenceMinAlignmentB = 6,
  kPreferenceMinAlignmentC = 7,
  kPreferenceMinAlignmentD = 8,
};
/// Whether the sum may be split; its parts are then kept and added in the compute type.
enum ReductionScheme : uint32_t { kReductionNone = 0, kReductionComputeType = 2 };

struct MatmulAlgo {
  uint64_t data[8];
};
struct HeuristicResult {
  MatmulAlgo algo;
  size_t workspace_bytes;
  Status state;
  float waves_count;
  int reserved[4];
};
static_assert(sizeof(MatmulAlgo) == 64 && sizeof(HeuristicResult) == 96);

// clang-format off: one function a line
#define SELFREFINE_CUBLASLT(X)                                                                                         \
  X(Create, Status, (Handle*))                                                                                         \
  X(Destroy, Status, (Handle))                                                                                         \
  X(GetVersion, size_t, ())                                                                                            \
  X(GetStatusString, const char*, (Status))                                                                            \
  X(MatmulDescCreate, Status, (MatmulDesc*, ComputeType, DataType))                                                    \
  X(MatmulDescDestroy, Status, (MatmulDesc))                                                                           \
  X(MatmulDescSetAttribute, Status, (MatmulDesc, MatmulDescAttribute, const void*, size_t))                            \
  X(MatrixLayoutCreate, Status, (MatrixLayout*, DataType, uint64_t rows, uint64_t columns, int64_t pitch))             \
  X(MatrixLayoutDestroy, Status, (MatrixLayout))                                                                       \
  X(MatmulPreferenceCreate, Status, (MatmulPreference*))                                                               \
  X(MatmulPreferenceDestroy, Status, (MatmulPreference))                                                               \
  X(MatmulPreferenceSetAttribute, Status, (MatmulPreference, MatmulPreferenceAttribute, const void*, size_t))          \
  X(MatmulAlgoGetHeuristic, Status, (Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c,               \
                                     MatrixLayout d, MatmulPreference, int wanted, HeuristicResult*, int* found))      \
  X(MatmulAlgoCheck, Status, (Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c, MatrixLayout d,      \
                              const MatmulAlgo*, HeuristicResult*))                                                    \
  X(Matmul, Status, (Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout, const void* b, MatrixLayout,  \
                     const void* beta, const void* c, MatrixLayout, void* d, MatrixLayout, const MatmulAlgo*,          \
                     void* workspace, size_t workspace_bytes, Stream))

/// The functions, by their names without "cublasLt".
struct Functions {
#define SELFREFINE_DECLARE(name, result, arguments) result(*name) arguments = nullptr;
  SELFREFINE_CUBLASLT(SELFREFINE_DECLARE)
#undef SELFREFINE_DECLARE
};

}  // namespace selfrefine::cublaslt
