// Which of cuBLASLt's algorithms computes a kind of product, remembered in a file from one process to the next: timing
// decides once, and later runs on the same GPU give the same bits. It does NOT know the library beyond its algorithms.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "core/dtype.h"
#include "cuda/cublaslt_abi.h"
#include "cuda/gemm.h"

namespace selfrefine {

/// A product but for its number of rows: those of a and c, or with transpose_a those that are summed over. So all
/// batches have one algorithm, and a row of c the same bits whatever the others are.
struct CublasLtKind {
  int64_t n = 0, other = 0;  // `other` is k, or with transpose_a m
  bool transpose_a = false, transpose_b = false, bias = false, added = false;
  DType input_type = DType::f32, output_type = DType::f32;

  explicit CublasLtKind(const CudaGemm& gemm);
  auto operator<=>(const CublasLtKind&) const = default;
  std::string text() const;
};

class CublasLtChoices {
 public:
  /// `gpu` and `library` name what the choices are good for. Reads the file; one that is damaged counts as empty.
  /// SELFREFINE_CUBLASLT_CHOICES is the file's path, or "off": nothing is timed then, nor remembered. By default it is
  /// in $XDG_CACHE_HOME/selfrefine or ~/.cache/selfrefine; in the simulation, where time means nothing, it is off.
  CublasLtChoices(const std::string& gpu, const std::string& library);

  /// False if no choice can be remembered: then none is to be made by timing.
  bool remembers() const { return !path_.empty(); }
  std::optional<cublaslt::MatmulAlgo> find(const CublasLtKind& kind) const;
  /// Returns the choice that holds from now on: `algo`, or what another process wrote first. Nothing if the file cannot
  /// be written, which ends the remembering.
  std::optional<cublaslt::MatmulAlgo> remember(const CublasLtKind& kind, const cublaslt::MatmulAlgo& algo);

 private:
  void read();
  bool write() const;

  std::string path_, title_;
  std::map<std::string, cublaslt::MatmulAlgo> choices_;  // by text()
};

}  // namespace selfrefine
