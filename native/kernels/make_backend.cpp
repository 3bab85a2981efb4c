// The only place that knows every backend of this build by name.
#include "backend.h"

#include "cpu/cpu_backend.h"
#include "kernels/reference.h"

namespace selfrefine {

namespace {

struct Maker {
  const char* name;
  std::unique_ptr<Backend> (*make)(const BackendOptions& options);
};

std::unique_ptr<Backend> make_cpu(const BackendOptions& options) { return std::make_unique<CpuBackend>(options); }
std::unique_ptr<Backend> make_reference(const BackendOptions&) { return std::make_unique<ReferenceBackend>(); }

constexpr Maker kMakers[] = {{"cpu", make_cpu}, {"reference", make_reference}};

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Maker& maker : kMakers) names.emplace_back(maker.name);
  return names;
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  std::string known;
  for (const Maker& maker : kMakers) {
    if (options.name == maker.name) return maker.make(options);
    known += (known.empty() ? "" : ", ") + std::string(maker.name);
  }
  fail(ErrorCode::unsupported, "backend \"", options.name, "\" is not in this build, expected one of ", known);
}

}  // namespace selfrefine
