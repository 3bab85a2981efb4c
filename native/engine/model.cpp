// Arenas of a model, fresh weights, and the packed copies a backend may keep of them.
#include "engine/model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/philox.h"
#include "cpu/thread_pool.h"
#include "engine/blocks.h"

namespace selfrefine {

namespace {

const ModelConfig& checked(const ModelConfig& config) {
  config.check();
  return config;
}

/// Fills elements [first, first + n) with normal(0, std) by Box-Muller; element i depends on (seed, parameter, i)
/// alone. `first` is a multiple of 4.
void fill_normal(float* out, int64_t first, int64_t n, uint64_t seed, uint32_t parameter, double std) {
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int64_t i = 0; i < n; i += 4) {
    const auto block = static_cast<uint64_t>((first + i) / 4);
    const PhiloxBlock bits =
        philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), parameter, 0}, key);
    double normal[4];
    for (size_t pair = 0; pair < 4; pair += 2) {
      const double radius = std::sqrt(-2 * std::log(double{uniform_open(bits[pair])}));
      const double angle = 2 * std::numbers::pi * uniform_open(bits[pair + 1]);
      normal[pair] = radius * std::cos(angle);
      normal[pair + 1] = radius * std::sin(angle);
    }
    for (int64_t j = i; j < std::min(i + 4, n); ++j) out[j] = static_cast<float>(std * normal[j - i]);
  }
}

/// The same by all threads: the logarithms of a billion weights take one of them half a minute.
void fill_normal(ThreadPool& pool, float* out, int64_t first, int64_t n, uint64_t seed, uint32_t parameter,
                 double std) {
  constexpr int64_t kPiece = 1 << 14;
  pool.parallel_for((n + kPiece - 1) / kPiece, [&](int64_t piece, int) {
    const int64_t begin = piece * kPiece;
    fill_normal(out + begin, first + begin, std::min(kPiece, n - begin), seed, parameter, std);
  });
}

}  // namespace

Model::Model(const ModelConfig& config, const ModelOptions& options)
    : config_(checked(config)), dtype_(options.dtype), threads_(options.threads),
      backend_(make_backend({options.device, options.threads, options.rehearsal})), table_(config),
      adapter_table_(config, options.lora),
      weight_store_(backend_, table_, {"parameters", "masters"}, dtype_, options.masters && !options.lora) {
  weights_ = table_.view(weight_store_.data(), dtype_);
  if (options.lora) {
    adapter_store_.emplace(backend_, adapter_table_, ArenaNames{"adapters", "adapter masters"}, dtype_, true);
    adapter_ = adapter_table_.view(adapter_store_->data(), dtype_);
  }
  constants_ = build_arena(backend_, "constants", Reach::ops, [&](Layout& layout) {
    inv_freq_ = layout.take(DType::f32, {config_.head_dim / 2});
  });
  const std::vector<float> frequencies = rope_frequencies(config_);
  backend_->copy(inv_freq_.data, frequencies.data(), frequencies.size() * sizeof(float));
}

Model::~Model() { thaw(); }

void Model::sync() {
  weight_store_.round();
  if (adapter_store_) adapter_store_->round();
  weights_changed();
}

const FlatTable& Model::table_of(const std::string& name) const {
  if (adapter_table_.find(name) != nullptr) return adapter_table_;
  return table_;
}

ParameterStore& Model::store_of(const std::string& name) {
  return &table_of(name) == &adapter_table_ ? *adapter_store_ : weight_store_;
}

Tensor Model::exact_of(const std::string& name) const {
  const FlatTable& table = table_of(name);
  return (&table == &adapter_table_ ? *adapter_store_ : weight_store_).exact_of(table.at(name));
}

HostFloats Model::host_view(const std::string& name) { return store_of(name).host_view(parameter(name)); }

void Model::sync_views() {
  weight_store_.take_views();
  if (adapter_store_) adapter_store_->take_views();
  sync();
}

void Model::weights_changed() {
  ++version_;
  thaw();
}

void Model::initialize(uint64_t seed, double std) {
  if (!(std >= 0) || !std::isfinite(std)) {
    fail(ErrorCode::invalid_argument, "initialize: std is ", std, ", expected a finite number, 0 or more");
  }
  const double output_std = std / std::sqrt(2.0 * static_cast<double>(config_.num_hidden_layers));
  uint32_t index = 0;
  Blocks blocks(*backend_);
  ThreadPool pool(threads_);
  for (const Parameter& p : table_.all()) {
    blocks.write(weight_store_.exact_of(p), [&](float* out, int64_t first, int64_t n) {
      switch (p.initialization) {
        case Initialization::normal: fill_normal(pool, out, first, n, seed, index, std); break;
        case Initialization::residual_output:
          fill_normal(pool, out, first, n, seed, index, output_std);
          break;
        case Initialization::one: std::fill_n(out, n, 1.0f); break;
        default: std::fill_n(out, n, 0.0f); break;
      }
    });
    ++index;
  }
  sync();
}

void Model::copy_from(const Model& other) {
  if (&other == this) return;
  if (!config_.same_weights(other.config_)) {
    fail(ErrorCode::invalid_argument, "copyFrom: the models differ in shape (", table_.elements(), " and ",
         other.table_.elements(), " parameters with padding); both need the same config");
  }
  if (adapter_table_.lora() != other.adapter_table_.lora()) {
    fail(ErrorCode::invalid_argument, "copyFrom: the models differ in their adapters; both need the same lora");
  }
  weight_store_.copy_from(other.weight_store_);
  if (adapter_store_) adapter_store_->copy_from(*other.adapter_store_);
  adapter_.active = other.adapter_.active;
  merged_ = other.merged_;
  weights_changed();
}

uint64_t Model::fingerprint() const {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](const float* values, int64_t, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      hash = (hash ^ std::bit_cast<uint32_t>(values[i])) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
  };
  Blocks blocks(*backend_);
  blocks.read(weight_store_.exact(), add);
  if (adapter_store_) blocks.read(adapter_store_->exact(), add);
  return hash;
}

void Model::freeze() {
  if (frozen_) return;
  std::vector<Tensor> used_by_matmul = {weights_.lm_head};
  for (const LayerWeights& w : weights_.layers) {
    used_by_matmul.insert(used_by_matmul.end(), {w.qkv, w.o, w.gate_up, w.down});
  }
  for (const LayerAdapter& layer : adapter_.layers) {
    for (const LinearAdapter* adapter : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      if (*adapter) used_by_matmul.push_back(adapter->a);
    }
  }
  backend_->freeze(used_by_matmul);
  frozen_ = true;
}

void Model::thaw() {
  if (frozen_) backend_->thaw();
  frozen_ = false;
}

std::vector<MemoryRow> Model::memory() const {
  std::vector<MemoryRow> rows;
  weight_store_.add_memory(rows);
  if (adapter_store_) adapter_store_->add_memory(rows);
  rows.push_back(constants_.row());
  if (backend_->packed_bytes() > 0) rows.push_back({"packed weights", backend_->packed_bytes()});
  rows.push_back({"work areas", backend_->scratch_bytes()});
  return rows;
}

}  // namespace selfrefine
