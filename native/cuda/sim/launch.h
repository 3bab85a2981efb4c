// LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...): gives the stream a launch with copies of the
// arguments, or runs all blocks if there is no stream. A launch that the driver would refuse is thrown as ERR_CUDA, a
// kernel's own error where it runs. LAUNCH_CLUSTERS likewise, `cluster` neighbours along x at a time.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/sim/host.h"
#include "cuda/sim/language.h"
#include "cuda/sim/stream.h"

namespace cudasim {

struct Launch {
  const char* kernel;
  const void* function;
  dim3 grid, block;
  size_t shared_bytes;
  unsigned cluster;
};

/// Checks a launch as the driver does. False if an observer takes it, who wants it not to run.
bool admit(const Launch& launch);
void run(const Launch& launch, void (*entry)(const void* arguments), const void* arguments);

template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), unsigned cluster, dim3 grid, dim3 block,
            size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  using Values = std::tuple<std::remove_const_t<Parameters>...>;
  using Call = std::pair<void (*)(Parameters...), Values>;
  const Call call(kernel, Values(std::forward<Arguments>(arguments)...));
  const auto entry = [](const void* given) {
    const auto& [function, values] = *static_cast<const Call*>(given);
    std::apply(function, values);
  };
  const Launch launch{name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, cluster};
  if (admit(launch)) submit(stream, [launch, entry, call] { run(launch, entry, &call); });
}

}  // namespace cudasim

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  cudasim::launch(#kernel, kernel, 1, grid, block, shared_bytes, stream, __VA_ARGS__)
#define LAUNCH_CLUSTERS(kernel, cluster, grid, block, shared_bytes, stream, ...) \
  cudasim::launch(#kernel, kernel, cluster, grid, block, shared_bytes, stream, __VA_ARGS__)
