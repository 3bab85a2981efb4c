// Arenas of a parameter store, and the ways between its two forms and between stores.
#include "engine/parameter_store.h"

#include <algorithm>

#include "core/error.h"
#include "engine/blocks.h"

namespace selfrefine {

namespace {

Arena flat_arena(const std::shared_ptr<Backend>& backend, const char* name, DType dtype, int64_t elements,
                 Tensor& flat) {
  return build_arena(backend, name, Reach::ops, [&](Layout& layout) { flat = layout.take(dtype, {elements}); });
}

}  // namespace

ParameterStore::ParameterStore(const std::shared_ptr<Backend>& backend, const FlatTable& table,
                               const ArenaNames& names, DType dtype, bool masters)
    : backend_(backend), table_(table) {
  if (dtype != DType::f32 && dtype != DType::bf16) {
    fail(ErrorCode::unsupported, "dtype ", name_of(dtype), " cannot hold weights, expected float32 or bfloat16");
  }
  parameter_arena_ = flat_arena(backend, names.parameters, dtype, table.elements(), parameters_);
  exact_ = parameters_;
  if (dtype != DType::f32 && masters) {
    master_arena_ = flat_arena(backend, names.masters, DType::f32, table.elements(), exact_);
  }
}

void ParameterStore::round() {
  if (has_masters()) backend_->run(CastStorage{.out = parameters_, .x = exact_});
}

HostFloats ParameterStore::host_view(const Parameter& parameter) {
  const Arena& arena = has_masters() ? master_arena_ : parameter_arena_;
  return views_.view(*backend_, arena, exact_, parameter.offset, parameter.elements());
}

void ParameterStore::copy_from(const ParameterStore& other) {
  Backend& source = *other.backend_;
  source.synchronize();
  if (std::string(source.name()) == backend_->name() && exact_.dtype == other.exact_.dtype) {
    backend_->copy(exact_.data, other.exact_.data, static_cast<size_t>(exact_.bytes()));  // not through the host
  } else {
    Blocks mine(*backend_);
    Blocks(source).read(other.exact_, [&](const float* block, int64_t first, int64_t n) {
      mine.write(exact_.rows(first, first + n), [&](float* out, int64_t, int64_t) { std::copy_n(block, n, out); });
    });
  }
  round();
}

void ParameterStore::add_memory(std::vector<MemoryRow>& rows) const {
  rows.push_back(parameter_arena_.row());
  if (has_masters()) rows.push_back(master_arena_.row());
}

}  // namespace selfrefine
