// All parameters of one table on a backend: in storage type, and, with bfloat16 and if wanted, as fp32 masters. The
// weights of a model are one, its adapters another; an optimizer changes one of them. It does NOT know which.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/host_views.h"
#include "model/arena.h"
#include "model/parameters.h"

namespace selfrefine {

/// Names of the arenas, in memory() tables and in messages.
struct ArenaNames {
  const char* parameters;
  const char* masters;
};

class ParameterStore {
 public:
  /// Zeros. The table outlives the store. Throws ERR_OUT_OF_MEMORY.
  ParameterStore(const std::shared_ptr<Backend>& backend, const FlatTable& table, const ArenaNames& names, DType dtype,
                 bool masters);

  const FlatTable& table() const { return table_; }
  /// All parameters in storage type, (elements).
  const Tensor& parameters() const { return parameters_; }
  /// The parameters as exactly as they are known, (elements): the masters, or themselves where there are none.
  const Tensor& exact() const { return exact_; }
  /// The part of exact() that is this parameter.
  Tensor exact_of(const Parameter& p) const { return exact_.rows(p.offset, p.offset + p.elements()); }
  bool has_masters() const { return exact_.data != parameters_.data; }
  void* data() const { return parameters_.data; }

  /// To call after any change of exact(): rounds masters to the storage type.
  void round();

  /// Host memory with the values of a parameter as they are now: those of exact() themselves, or where these are not
  /// floats that host code reaches a copy, the same each time, renewed by this call.
  HostFloats host_view(const Parameter& parameter);
  /// Takes over what was written through views.
  void take_views() { views_.write_back(*backend_, exact_); }
  /// True where views are copies, and making one is work on the backend.
  bool copies_views() const { return !backend_->host_memory() || exact_.dtype != DType::f32; }

  /// Copies what another store of the same table holds.
  void copy_from(const ParameterStore& other);

  void add_memory(std::vector<MemoryRow>& rows) const;

 private:
  std::shared_ptr<Backend> backend_;
  const FlatTable& table_;
  Arena parameter_arena_, master_arena_;
  Tensor parameters_, exact_;
  HostViews views_;
};

}  // namespace selfrefine
