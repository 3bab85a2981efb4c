// Finds and opens one of NVIDIA's shared libraries at run time, where the CUDA toolkit or Python packages put them.
#pragma once

#include <string>
#include <vector>

namespace selfrefine {

struct NvidiaLibrary {
  void* handle = nullptr;  // of dlopen; open for good
  std::string path;        // what was opened
  std::string tried;       // each other path with the reason, a line each
};

/// Only the file itself.
NvidiaLibrary open_nvidia_library(const std::string& path);

/// Searches for the first of the `sonames` ("libcublasLt.so.13") that can be opened: one that the process has already,
/// the dynamic linker's own search, CUDA_HOME and CUDA_PATH, `wheel_folders` ("nvidia/cublas/lib") of Python
/// environments that are active, on the PATH or usual, and /usr/local/cuda.
NvidiaLibrary find_nvidia_library(const std::vector<std::string>& sonames,
                                  const std::vector<std::string>& wheel_folders);

}  // namespace selfrefine
