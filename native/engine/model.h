// A model in memory: a backend, the arena of parameters in storage type, and, with bfloat16 and unless told otherwise,
// their fp32 masters. Trainers and samplers borrow it; it does NOT know them, nor the names inside checkpoint files.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend.h"
#include "engine/parameter_store.h"
#include "model/arena.h"
#include "model/config.h"
#include "model/lora.h"
#include "model/parameters.h"

namespace selfrefine {

struct ModelOptions {
  std::string device = "cpu";
  DType dtype = DType::f32;
  int threads = 0;  // 0: every processor the process may use
  /// bfloat16: fp32 masters beside the parameters. Without them the parameters are all there is, to be trained with
  /// stochastic rounding, or not at all.
  bool masters = true;
  /// Adapters beside the weights. These have no masters then: they do not change.
  LoraConfig lora = {};
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
  const AdapterTable& adapter_table() const { return adapter_table_; }
  DType dtype() const { return dtype_; }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<Backend>& shared_backend() const { return backend_; }
  const Weights& weights() const { return weights_; }
  /// The adapters in storage type; none without lora.
  const Adapter& adapter() const { return adapter_; }
  const Tensor& inv_freq() const { return inv_freq_; }

  /// What training changes: the adapters of a model that has some, else its weights.
  ParameterStore& trained() { return adapter_store_ ? *adapter_store_ : weight_store_; }
  /// Throws ERR_UNSUPPORTED where it cannot be trained: the adapter is switched off, or merged.
  void expect_trainable() const;

  /// Host memory with the values of a parameter, or of one of the adapters; see ParameterStore::host_view.
  HostFloats host_view(const std::string& name);
  /// Its place in its table. Throws ERR_INVALID_ARGUMENT if there is none of this name.
  const Parameter& parameter(const std::string& name) const { return table_of(name).at(name); }
  /// True where host views are copies, and making one is work on the backend.
  bool copies_views() const { return weight_store_.copies_views(); }
  /// To call after writing through views: takes over what was written, then sync().
  void sync_views();

  /// To call after any change of exact weights: rounds masters to the storage type and drops packed copies of the
  /// weights.
  void sync();
  /// Matrices normal(0, std), output projections of residual blocks normal(0, std / sqrt(2 L)), norms 1, biases 0.
  void initialize(uint64_t seed, double std);
  /// A uniform in +-1 / sqrt(inputs), which is PEFT's kaiming_uniform with a = sqrt(5); B zero.
  void initialize_adapter(uint64_t seed);
  /// Throws ERR_IO if an entry passes the file's end, ERR_INVALID_ARGUMENT on an entry that does not fit its parameter
  /// or holds a value that is not finite. After an error weights may be partly replaced.
  void read(const std::string& path, const std::vector<TensorEntry>& entries);
  /// Writes header and entries and flushes. Throws ERR_IO.
  void write(const std::string& path, const std::string& header, const std::vector<TensorEntry>& entries) const;
  void copy_from(const Model& other);
  /// A hash of all weights, as exactly as they are known: other weights, another number.
  uint64_t fingerprint() const;

  /// Whether the model computes with its adapters. Throws ERR_UNSUPPORTED if it has none.
  void use_adapter(bool active);
  /// Adds scale B A to the weights in float32 and rounds them; B becomes zero, and training is over.
  void merge();

  /// Lets the backend keep the weights packed for generation until they change.
  void freeze();
  void thaw();
  /// Grows with every change of the weights.
  uint64_t version() const { return version_; }
  /// Says that the parameters in storage type were changed in place (by the optimizer).
  void weights_changed();

  std::vector<MemoryRow> memory() const;

 private:
  const FlatTable& table_of(const std::string& name) const;
  ParameterStore& store_of(const std::string& name);
  /// The part of a store's exact parameters that has this name.
  Tensor exact_of(const std::string& name) const;
  void merge_matrix(const std::string& matrix, const LinearAdapter& adapter);

  ModelConfig config_;
  DType dtype_;
  int threads_;  // of host code; 0: all
  std::shared_ptr<Backend> backend_;
  ParameterTable table_;
  AdapterTable adapter_table_;
  ParameterStore weight_store_;
  std::optional<ParameterStore> adapter_store_;
  Arena constants_;
  Weights weights_;
  Adapter adapter_;
  Tensor inv_freq_;  // (D / 2) f32
  uint64_t version_ = 0;
  bool frozen_ = false, merged_ = false;
};

}  // namespace selfrefine
