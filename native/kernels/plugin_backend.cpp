// A library is looked for in the folder this code was loaded from, kept open for good, and refused when another build
// made it: C++ objects cross between the two.
#include "kernels/plugin_backend.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>

#include "cuda/plugin.h"

namespace selfrefine {

namespace {

/// "cuda-sim" -> libselfrefine_cuda_sim.so beside this code.
std::string library_path(const std::string& name) {
  Dl_info self{};
  dladdr(reinterpret_cast<const void*>(&has_plugin), &self);
  std::string path = self.dli_fname != nullptr ? self.dli_fname : "";
  path.resize(path.find_last_of('/') + 1);
  std::string file = "libselfrefine_" + name + ".so";
  for (char& c : file) c = c == '-' ? '_' : c;
  return path + file;
}

struct Plugin {
  PluginMake make = nullptr;
  std::string reason;  // why there is none
};

Plugin open(const std::string& name) {
  const std::string path = library_path(name);
  if (access(path.c_str(), F_OK) != 0) {
    return {nullptr, "it is not in this build, which found no CUDA compiler or no NVIDIA driver; install both and "
                     "build again (npm rebuild selfrefine), or use device cpu"};
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, dlerror()};
  const auto build = reinterpret_cast<PluginBuild>(dlsym(library, kPluginBuildSymbol));
  if (build == nullptr || std::strcmp(build(), kPluginBuild) != 0) {
    return {nullptr, path + " belongs to another build; build again"};
  }
  return {reinterpret_cast<PluginMake>(dlsym(library, kPluginMakeSymbol)), path + " exports no backend"};
}

}  // namespace

bool has_plugin(const std::string& name) { return open(name).make != nullptr; }

std::unique_ptr<Backend> make_plugin_backend(const BackendOptions& options) {
  const Plugin plugin = open(options.name);
  if (plugin.make == nullptr) fail(ErrorCode::unsupported, "device ", options.name, ": ", plugin.reason);
  return std::unique_ptr<Backend>(plugin.make(options));
}

}  // namespace selfrefine
