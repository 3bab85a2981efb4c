// A model in memory: a backend, the arena of parameters in storage type, and, with bfloat16 and unless told otherwise,
// their fp32 masters. Trainers and samplers borrow it; it does NOT know them, nor the names inside checkpoint files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "engine/host_views.h"
#include "model/arena.h"
#include "model/config.h"
#include "model/parameters.h"

namespace selfrefine {

struct ModelOptions {
  std::string device = "cpu";
  DType dtype = DType::f32;
  int threads = 0;  // 0: every processor the process may use
  /// bfloat16: fp32 masters beside the parameters. Without them the parameters are all there is, to be trained with
  /// stochastic rounding, or not at all.
  bool masters = true;
  bool rehearsal = false;  // counts memory without taking it: see engine/plan.h
};

/// `rows` rows of a parameter, from row `row_offset`, at byte `file_offset` of a file, as F32, BF16 or F16.
struct TensorEntry {
  std::string parameter;
  int64_t row_offset = 0;
  int64_t rows = 0;
  int64_t file_offset = 0;
  DType dtype = DType::f32;
};

class Model {
 public:
  /// Weights are zero until initialize() or read(). Throws ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_UNSUPPORTED.
  Model(const ModelConfig& config, const ModelOptions& options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  const ParameterTable& table() const { return table_; }
  DType dtype() const { return dtype_; }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<Backend>& shared_backend() const { return backend_; }
  const Weights& weights() const { return weights_; }
  const Tensor& inv_freq() const { return inv_freq_; }
  /// All parameters in storage type, (elements).
  const Tensor& parameters() const { return flat_parameters_; }
  /// The weights as exactly as they are known, (elements): the masters, or the parameters where there are none.
  const Tensor& exact() const { return flat_exact_; }
  bool has_masters() const { return flat_exact_.data != flat_parameters_.data; }
  /// True where host views are copies, and making one is work on the backend.
  bool copies_views() const { return !backend_->host_memory() || flat_exact_.dtype != DType::f32; }

  /// Host memory with the values of a parameter as they are now: the exact weights themselves, or where these are not
  /// floats that host code reaches a copy, the same each time, renewed by this call.
  HostFloats host_view(const Parameter& parameter);
  /// To call after writing through views: takes over what was written, then sync().
  void sync_views();

  /// To call after any change of exact(): rounds masters to the storage type and drops packed copies of the weights.
  void sync();
  /// Matrices normal(0, std), output projections of residual blocks normal(0, std / sqrt(2 L)), norms 1, biases 0.
  void initialize(uint64_t seed, double std);
  /// Throws ERR_IO if an entry passes the file's end, ERR_INVALID_ARGUMENT on an entry that does not fit its parameter
  /// or holds a value that is not finite. After an error weights may be partly replaced.
  void read(const std::string& path, const std::vector<TensorEntry>& entries);
  /// Writes header and entries and flushes. Throws ERR_IO.
  void write(const std::string& path, const std::string& header, const std::vector<TensorEntry>& entries) const;
  void copy_from(const Model& other);
  /// A hash of exact(): other weights, another number.
  uint64_t fingerprint() const;

  /// Lets the backend keep the weights packed for generation until they change.
  void freeze();
  void thaw();
  /// Grows with every change of the weights.
  uint64_t version() const { return version_; }
  /// Says that the parameters in storage type were changed in place (by the optimizer).
  void weights_changed();

  std::vector<MemoryRow> memory() const;

 private:
  const Arena& exact_arena() const { return has_masters() ? masters_ : parameters_; }
  /// The part of exact() that is this parameter.
  Tensor exact_of(const Parameter& p) const { return exact().rows(p.offset, p.offset + p.elements()); }

  ModelConfig config_;
  DType dtype_;
  std::shared_ptr<Backend> backend_;
  ParameterTable table_;
  Arena parameters_, masters_, constants_;
  Tensor flat_parameters_, flat_exact_;
  Weights weights_;
  Tensor inv_freq_;  // (D / 2) f32
  HostViews views_;
  uint64_t version_ = 0;
  bool frozen_ = false;
};

}  // namespace selfrefine
