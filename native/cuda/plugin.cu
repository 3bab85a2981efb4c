// What the CUDA half exports.
#include "cuda/plugin.h"

#include "cuda/cuda_backend.h"

#define SELFREFINE_EXPORT extern "C" __attribute__((visibility("default")))

SELFREFINE_EXPORT const char* selfrefine_plugin_build() { return selfrefine::kPluginBuild; }

SELFREFINE_EXPORT selfrefine::Backend* selfrefine_plugin_make(const selfrefine::BackendOptions& options) {
  return new selfrefine::CudaBackend(options);
}
