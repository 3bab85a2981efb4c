// A device without a GPU: one, with Hopper's limits and few multiprocessors, so that small grids already wrap around.
#include "cuda/sim/host.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/device_ranges.h"
#include "cuda/sim/device_memory.h"
#include "cuda/sim/stream.h"

namespace {

constexpr size_t kMemory = size_t{1} << 34;
constexpr size_t kSharedUnasked = 48 * 1024;
constexpr size_t kAlignment = 256;

long compute_capability() { return cudasim::setting("CUDASIM_COMPUTE", 90); }

/// Dynamic shared memory that a block may ask for.
size_t most_shared() {
  switch (compute_capability()) {
    case 80:
    case 87: return 163 * 1024;
    case 90:
    case 100: return 227 * 1024;
    default: return 99 * 1024;  // 8.6, 8.9, 12.0
  }
}

/// What kernels asked for by cudaFuncSetAttribute.
struct Asked {
  std::mutex lock;
  std::map<const void*, size_t> shared_bytes;
};
Asked& asked() {
  static auto& functions = *new Asked;
  return functions;
}

/// All memory that CUDA gave. Other memory is the system's own, pageable, which copies of a GPU do not read or write
/// behind the host's back.
selfrefine::DeviceRanges& known_memory() {
  static auto& ranges = *new selfrefine::DeviceRanges;
  return ranges;
}

}  // namespace

namespace cudasim {

long setting(const char* variable, long otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == '\0' ? otherwise : std::strtol(text, nullptr, 10);
}

cudaError_t set_function_attribute(const void* function, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<size_t>(value) > most_shared()) return cudaErrorInvalidValue;
  std::lock_guard guard(asked().lock);
  asked().shared_bytes[function] = static_cast<size_t>(value);
  return cudaSuccess;
}

size_t most_dynamic_shared(const void* function) {
  std::lock_guard guard(asked().lock);
  const auto known = asked().shared_bytes.find(function);
  return known != asked().shared_bytes.end() && known->second > kSharedUnasked ? known->second : kSharedUnasked;
}

}  // namespace cudasim

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const int capability = static_cast<int>(compute_capability());
  const int multiprocessors = static_cast<int>(cudasim::setting("CUDASIM_SMS", 2));
  *properties = {"simulated GPU", capability / 10, capability % 10, multiprocessors, most_shared(), kMemory};
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = kMemory;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }
const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure) return cudasim::last_failure();
  if (error == cudaErrorStreamCaptureUnsupported) return "not allowed while a stream is captured";
  if (error == cudaErrorStreamCaptureInvalidated) return "the capture met what is not allowed";
  return "error of the simulated GPU";
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = nullptr;
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  if (bytes > kMemory) return cudaErrorMemoryAllocation;
  *memory = cudasim::DeviceMemory::instance().allocate(bytes);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  known_memory().add(*memory, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  if (memory == nullptr) return cudaSuccess;
  cudasim::finish_all();  // the driver waits too
  known_memory().remove(memory);
  cudasim::DeviceMemory::instance().release(memory);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = nullptr;
  if (const cudaError_t error = cudasim::expect_no_capture()) return error;
  if (bytes > kMemory) return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xff, bytes);  // nor is this
  known_memory().add(*memory, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  known_memory().remove(memory);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  cudasim::submit(stream, [=] {
    if (bytes > 0) std::memmove(to, from, bytes);
  });
  const bool is_pageable = !known_memory().contains(to) || !known_memory().contains(from);
  return is_pageable && !cudasim::is_capturing(stream) ? cudaStreamSynchronize(stream) : cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  cudasim::submit(stream, [=] {
    if (bytes > 0) std::memset(memory, value, bytes);
  });
  return cudaSuccess;
}
