// A model in memory: a backend, the arena of parameters in storage type, and the fp32 masters (the same arena for
// float32). Trainers and samplers borrow it; it does NOT know them, nor the names inside checkpoint files.
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
  const Arena& parameters() const { return parameters_; }
  const Arena& masters() const { return dtype_ == DType::f32 ? parameters_ : masters_; }
  /// False where weights lie on a device: then host views are copies, and making one is work on the backend.
  bool host_memory() const { return backend_->host_memory(); }
  /// The fp32 values of a parameter, where the backend's memory is.
  float* master(const Parameter& parameter) const { return static_cast<float*>(masters().data()) + parameter.offset; }

  /// Host memory with the fp32 values of a parameter as they are now: of the masters themselves, or where host code
  /// does not reach these a copy, the same each time, renewed by this call.
  HostFloats host_view(const Parameter& parameter);
  /// To call after writing through views: takes over what was written, then sync().
  void sync_views();

  /// To call after any change of masters: rounds them to the storage type and drops packed copies of the weights.
  void sync();
  /// Matrices normal(0, std), output projections of residual blocks normal(0, std / sqrt(2 L)), norms 1, biases 0.
  void initialize(uint64_t seed, double std);
  /// Throws ERR_IO if an entry passes the file's end, ERR_INVALID_ARGUMENT on an entry that does not fit its parameter
  /// or holds a value that is not finite. After an error weights may be partly replaced.
  void read(const std::string& path, const std::vector<TensorEntry>& entries);
  /// Writes header and entries and flushes. Throws ERR_IO.
  void write(const std::string& path, const std::string& header, const std::vector<TensorEntry>& entries) const;
  void copy_from(const Model& other);
  /// A hash of all fp32 weights: other weights, another number.
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
  ModelConfig config_;
  DType dtype_;
  std::shared_ptr<Backend> backend_;
  ParameterTable table_;
  Arena parameters_, masters_, constants_;
  Weights weights_;
  Tensor inv_freq_;  // (D / 2) f32
  HostViews views_;
  uint64_t version_ = 0;
  bool frozen_ = false;
};

}  // namespace selfrefine
