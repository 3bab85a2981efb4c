// Search for NVIDIA's libraries. RTLD_LOCAL: their symbols must not meet those of another version in the process.
#include "cuda/nvidia_library.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <sstream>

namespace selfrefine {

namespace {

class Search {
 public:
  bool found() const { return result_.handle != nullptr; }
  NvidiaLibrary result() const { return result_; }

  void attempt(const std::string& path, int flags = 0) {
    if (found()) return;
    result_.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | flags);
    if (found()) {
      result_.path = path;
    } else if (flags == 0) {
      const char* reason = dlerror();
      result_.tried += "  " + (reason != nullptr ? std::string(reason) : path) + "\n";
    }
  }

  /// Files that match only: a pattern that nothing matches is not worth a line.
  void attempt_matches(const std::string& pattern) {
    glob_t matches{};
    if (glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
      for (size_t i = 0; i < matches.gl_pathc; ++i) attempt(matches.gl_pathv[i]);
    }
    globfree(&matches);
  }

 private:
  NvidiaLibrary result_;
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// Folders of Python packages, as patterns.
std::vector<std::string> site_packages() {
  std::vector<std::string> folders;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string prefix = variable(name);
    if (!prefix.empty()) folders.push_back(prefix + "/lib/python3*/site-packages");
  }
  std::istringstream path(variable("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    if (!folder.ends_with("/bin")) continue;
    folder.resize(folder.size() - 4);
    folders.push_back(folder + "/lib/python3*/site-packages");
    folders.push_back(folder + "/lib/python3*/dist-packages");
  }
  for (const char* folder : {"/usr/lib/python3/dist-packages", "/opt/*/.venv/lib/python3*/site-packages",
                             "/opt/*/lib/python3*/site-packages"}) {
    folders.emplace_back(folder);
  }
  return folders;
}

}  // namespace

NvidiaLibrary open_nvidia_library(const std::string& path) {
  Search search;
  search.attempt(path);
  return search.result();
}

NvidiaLibrary find_nvidia_library(const std::vector<std::string>& sonames,
                                  const std::vector<std::string>& wheel_folders) {
  Search search;
  for (const std::string& soname : sonames) search.attempt(soname, RTLD_NOLOAD);
  for (const std::string& soname : sonames) search.attempt(soname);
  for (const std::string& soname : sonames) {
    for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
      const std::string toolkit = variable(name);
      if (toolkit.empty()) continue;
      for (const char* folder : {"/lib64/", "/lib/"}) search.attempt_matches(toolkit + folder + soname);
    }
    for (const std::string& site : site_packages()) {
      for (const std::string& wheel : wheel_folders) search.attempt_matches(site + "/" + wheel + "/" + soname);
    }
    search.attempt_matches("/usr/local/cuda/lib64/" + soname);
  }
  return search.result();
}

}  // namespace selfrefine
