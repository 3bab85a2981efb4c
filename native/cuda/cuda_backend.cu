// Construction, memory and work areas of the CUDA backend; its ops are in kernels/<family>/cuda.cu.
#include "cuda/cuda_backend.h"

namespace selfrefine {

namespace {

[[noreturn]] void fail_cuda(cudaError_t status, const char* what) {
  fail(ErrorCode::cuda, what, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
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
  check_cuda(cudaSetDevice(device_), "cudaSetDevice");
  check_cuda(cudaGetDeviceProperties(&properties_, device_), "cudaGetDeviceProperties");
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  cublaslt_ = CublasLt::load();
}

CudaBackend::~CudaBackend() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  for (const Area& area : areas_) cudaFree(area.data);
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
  std::shared_ptr<void> owner(memory, [](void* p) { cudaFree(p); });
  zero(memory, bytes);
  synchronize();
  return owner;
}

std::shared_ptr<void> CudaBackend::allocate_shared(const char* arena, size_t bytes) {
  enter();
  void* memory = nullptr;
  check_cuda(cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocPortable), arena);
  std::memset(memory, 0, bytes);
  return {memory, [](void* p) {
    cudaDeviceSynchronize();  // ops queued before an error may still read it
    cudaFreeHost(p);
  }};
}

void CudaBackend::copy(void* to, const void* from, size_t bytes) {
  enter();
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "copy");
  synchronize();
}

void CudaBackend::zero(void* memory, size_t bytes) {
  enter();
  check_cuda(cudaMemsetAsync(memory, 0, bytes, stream_), "zero");
}

void CudaBackend::synchronize() {
  enter();
  check_cuda(cudaStreamSynchronize(stream_), "synchronize");
}

void* CudaBackend::scratch(Scratch purpose, size_t bytes) {
  Area& area = areas_[static_cast<size_t>(purpose)];
  if (area.bytes >= bytes) return area.data;
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
  DeviceTable& known = tables_[static_cast<size_t>(table)];
  const size_t before = known.bytes();
  const void* device = known.upload(host, bytes, stream_);
  scratch_bytes_ += static_cast<int64_t>(known.bytes()) - static_cast<int64_t>(before);
  return device;
}

}  // namespace selfrefine
