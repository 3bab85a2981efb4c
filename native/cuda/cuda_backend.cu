// Construction, memory and work areas of the CUDA backend; its ops are in kernels/<family>/cuda.cu.
#include "cuda/cuda_backend.h"

#include <cstdlib>

#include "cuda/recording.h"
#include "cuda/tensor_map.h"

namespace selfrefine {

namespace {

constexpr int kOldestMajor = 8;  // bfloat16 on tensor cores, asynchronous copies

[[noreturn]] void fail_cuda(cudaError_t status, const char* what) {
  fail(ErrorCode::cuda, what, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
}

[[noreturn]] void fail_device(const std::string& why) {
  fail(ErrorCode::cuda, "device cuda: ", why, "; device cpu computes without one");
}

#ifndef CUDASIM
std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

/// Why there is no device: the runtime's own words blame the driver's version even where there is no driver.
[[noreturn]] void fail_without_device(cudaError_t status) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) fail_device("no NVIDIA driver is installed here (libcuda.so.1 is missing)");
  if (status == cudaErrorInsufficientDriver) {
    fail_device(concat("the NVIDIA driver knows CUDA ", version_text(driver), ", this build needs ",
                       version_text(runtime), ": update the driver, or build with an older CUDA toolkit"));
  }
  if (status == cudaSuccess || status == cudaErrorNoDevice) {
    fail_device("no NVIDIA GPU is visible (nvidia-smi and CUDA_VISIBLE_DEVICES tell which are)");
  }
  fail_device(concat(cudaGetErrorName(status), ", ", cudaGetErrorString(status)));
}
#else
[[noreturn]] void fail_without_device(cudaError_t) { fail_device("no GPU is visible"); }
#endif

#if defined(CUDASIM) || defined(SELFREFINE_SM90A)
constexpr bool kBuiltForHopper = true;
#else
constexpr bool kBuiltForHopper = false;  // the list of architectures lacks 90a
#endif

/// SELFREFINE_HOPPER=off forbids what GPUs before Hopper do not have, to compare, or should it fail.
bool is_hopper_forbidden() {
  const char* wish = std::getenv("SELFREFINE_HOPPER");
  const std::string asked = wish != nullptr ? wish : "";
  if (!asked.empty() && asked != "off") {
    fail(ErrorCode::invalid_argument, "SELFREFINE_HOPPER=", asked, ": expected \"off\", or no such variable");
  }
  return !asked.empty();
}

/// Whether the kernels of wgmma and TMA may be used: they exist for compute capability 9.0 alone.
bool may_use_hopper(const cudaDeviceProp& properties) {
  const bool is_hopper = properties.major == 9 && properties.minor == 0;
  return kBuiltForHopper && is_hopper && can_encode_tensor_maps();
}

__global__ void probe_kernel() {}

/// Whether kernels of clusters may be used: a newer GPU may run code made for an older one, in which they are empty.
bool may_use_clusters(const cudaDeviceProp& properties) {
  constexpr int kFirst = 90;
  cudaFuncAttributes attributes{};
  check_cuda(cudaFuncGetAttributes(&attributes, probe_kernel), "cudaFuncGetAttributes");
  return properties.major * 10 >= kFirst && attributes.ptxVersion >= kFirst;
}

}  // namespace

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  if (status == cudaErrorMemoryAllocation) {
    fail(ErrorCode::out_of_memory, what, ": the GPU has no memory left; use a smaller micro-batch, model or cache");
  }
  fail_cuda(status, what);
}

CudaBackend::CudaBackend(const BackendOptions&) {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) fail_without_device(found);
  check_cuda(cudaGetDeviceProperties(&properties_, device_), "cudaGetDeviceProperties");
  if (properties_.major < kOldestMajor) {
    fail_device(concat(properties_.name, " has compute capability ", properties_.major, ".", properties_.minor, ", ",
                       kOldestMajor, ".0 or more is needed (Ampere and newer)"));
  }
  check_cuda(cudaSetDevice(device_), "cudaSetDevice");
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  check_cuda(cudaEventCreateWithFlags(&mark_, cudaEventDisableTiming), "cudaEventCreate");
  if (!is_hopper_forbidden()) {
    hopper_ = may_use_hopper(properties_);
    clusters_ = may_use_clusters(properties_);
  }
  cublaslt_ = CublasLt::load(properties_.name);
}

CudaBackend::~CudaBackend() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  for (const Area& area : areas_) cudaFree(area.data);
  cudaEventDestroy(mark_);
  cudaStreamDestroy(stream_);
}

void CudaBackend::enter() {
  thread_local int current = -1;
  if (current == device_) return;
  check_cuda(cudaSetDevice(device_), "cudaSetDevice");
  current = device_;
}

const char* CudaBackend::name() const {
#ifdef CUDASIM
  return "cuda-sim";
#else
  return "cuda";
#endif
}

std::string CudaBackend::description() const {
  return concat(name(), ", ", properties_.name, ", compute ", properties_.major, ".", properties_.minor,
                cublaslt_ ? ", " + cublaslt_->description() : "");
}

int64_t CudaBackend::available_bytes() const {
  check_cuda(cudaSetDevice(device_), "cudaSetDevice");
  size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64_t>(free);
}

std::shared_ptr<void> CudaBackend::allocate(const char* arena, size_t bytes) {
  enter();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail(ErrorCode::out_of_memory, arena, ": ", bytes, " bytes wanted on ", properties_.name, ", ", free,
         " free; use a smaller micro-batch, model or cache");
  }
  check_cuda(status, arena);
  std::shared_ptr<void> owner(memory, [ranges = device_ranges_](void* p) {
    const std::lock_guard waits(recording_lock());
    ranges->remove(p);
    cudaFree(p);
  });
  device_ranges_->add(memory, bytes);
  zero(memory, bytes);
  synchronize();
  return owner;
}

std::shared_ptr<void> CudaBackend::allocate_shared(const char* arena, size_t bytes) {
  enter();
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    fail(ErrorCode::out_of_memory, arena, ": ", bytes, " bytes of pinned host memory wanted, which the system does not "
         "give; use a smaller micro-batch or cache");
  }
  check_cuda(status, arena);
  std::memset(memory, 0, bytes);
  return {memory, [](void* p) {
    const std::lock_guard waits(recording_lock());
    cudaDeviceSynchronize();  // ops queued before an error may still read it
    cudaFreeHost(p);
  }};
}

void CudaBackend::copy(void* to, const void* from, size_t bytes) {
  enter();
  expect_not_recording("a copy");
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "copy");
  synchronize();
}

void CudaBackend::zero(void* memory, size_t bytes) {
  enter();
  check_cuda(cudaMemsetAsync(memory, 0, bytes, stream_), "zero");
}

void CudaBackend::synchronize() {
  enter();
  expect_not_recording("waiting");
  check_cuda(cudaStreamSynchronize(stream_), "synchronize");
  report_damaged_row();
}

void CudaBackend::mark() {
  enter();
  expect_not_recording("a mark");
  check_cuda(cudaEventRecord(mark_, stream_), "mark");
}

void CudaBackend::wait_for_mark() {
  enter();
  expect_not_recording("waiting");
  check_cuda(cudaEventSynchronize(mark_), "wait for mark");
  report_damaged_row();
}

void* CudaBackend::scratch(Scratch purpose, size_t bytes) {
  Area& area = areas_[static_cast<size_t>(purpose)];
  if (area.bytes >= bytes) return area.data;
  ++epoch_;
  synchronize();  // ops that use the old area may still run
  cudaFree(area.data);
  scratch_bytes_ -= static_cast<int64_t>(area.bytes);
  area = {};
  check_cuda(cudaMalloc(&area.data, bytes), "work area");
  area.bytes = bytes;
  scratch_bytes_ += static_cast<int64_t>(bytes);
  return area.data;
}

const void* CudaBackend::upload_bytes(Table table, const void* host, size_t bytes) {
  expect_not_recording("an upload");
  DeviceTable& known = tables_[static_cast<size_t>(table)];
  const size_t before = known.bytes();
  const void* device = known.upload(host, bytes, stream_);
  scratch_bytes_ += static_cast<int64_t>(known.bytes()) - static_cast<int64_t>(before);
  return device;
}

}  // namespace selfrefine
