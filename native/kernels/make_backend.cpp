// The only place that knows every backend of this build by name.
#include "backend.h"

#include "cpu/cpu_backend.h"
#include "kernels/reference.h"

namespace selfrefine {

namespace {

using Made = std::unique_ptr<Backend>;

struct Maker {
  const char* name;
  Made (*make)(const BackendOptions& options);
};

constexpr Maker kMakers[] = {
    {"cpu", [](const BackendOptions& options) -> Made { return std::make_unique<CpuBackend>(options); }},
    {"reference", [](const BackendOptions&) -> Made { return std::make_unique<ReferenceBackend>(); }},
};

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
