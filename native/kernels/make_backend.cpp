// The only place that knows every backend of this build by name.
#include "backend.h"

#include "cpu/cpu_backend.h"
#include "kernels/plugin_backend.h"
#include "kernels/reference.h"
#include "kernels/rehearsal.h"

namespace selfrefine {

namespace {

struct Maker {
  const char* name;
  std::unique_ptr<Backend> (*make)(const BackendOptions& options);
  bool is_plugin;  // in a library of its own, which this build may lack
};

std::unique_ptr<Backend> make_cpu(const BackendOptions& options) { return std::make_unique<CpuBackend>(options); }
std::unique_ptr<Backend> make_reference(const BackendOptions& options) {
  if (options.rehearsal) return std::make_unique<RehearsalBackend>(options.name, true);
  return std::make_unique<ReferenceBackend>();
}
std::unique_ptr<Backend> make_cuda(const BackendOptions& options) {
  if (options.rehearsal) return std::make_unique<CudaRehearsal>(options.name);
  return make_plugin_backend(options);
}

constexpr Maker kMakers[] = {{"cuda", make_cuda, true},
                             {"cpu", make_cpu, false},
                             {"reference", make_reference, false},
                             {"cuda-sim", make_cuda, true}};

bool present(const Maker& maker) { return !maker.is_plugin || has_plugin(maker.name); }

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Maker& maker : kMakers) {
    if (present(maker)) names.emplace_back(maker.name);
  }
  return names;
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  std::string known;
  for (const Maker& maker : kMakers) {
    if (options.name == maker.name) return maker.make(options);
    if (present(maker)) known += (known.empty() ? "" : ", ") + std::string(maker.name);
  }
  fail(ErrorCode::unsupported, "backend \"", options.name, "\" is not in this build, expected one of ", known);
}

}  // namespace selfrefine
