// The driver's own encoder, or the simulation's.
#include "cuda/tensor_map.h"

#include <algorithm>
#include <array>

#include "core/error.h"

#if !defined(CUDASIM)
#include <dlfcn.h>

#include "cuda/nvidia_library.h"
#endif

namespace selfrefine {

namespace {

constexpr size_t kMostRank = 5;

/// As the driver takes it.
struct Shape {
  uint32_t rank;
  std::array<uint64_t, kMostRank> sizes, strides;
  std::array<uint32_t, kMostRank> box;
};

#if defined(CUDASIM)

bool has_encoder() { return true; }

/// What is wrong with it, or null.
const char* encode(cuda::TensorMap& map, const void* base, const Shape& shape) {
  return cudasim::encode_tensor_map(map, base, shape.rank, shape.sizes.data(), shape.strides.data(), shape.box.data());
}

#else

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode encoder() {
  static const Encode found = [] {
    void* driver = open_nvidia_library("libcuda.so.1").handle;
    return driver == nullptr ? nullptr : reinterpret_cast<Encode>(dlsym(driver, "cuTensorMapEncodeTiled"));
  }();
  return found;
}

bool has_encoder() { return encoder() != nullptr; }

const char* encode(cuda::TensorMap& map, const void* base, const Shape& shape) {
  constexpr std::array<uint32_t, kMostRank> kEveryElement = {1, 1, 1, 1, 1};
  const CUresult status =
      encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, shape.rank, const_cast<void*>(base), shape.sizes.data(),
                shape.strides.data(), shape.box.data(), kEveryElement.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return status == CUDA_SUCCESS ? nullptr : "cuTensorMapEncodeTiled refuses it";
}

#endif

}  // namespace

bool can_encode_tensor_maps() { return has_encoder(); }

cuda::TensorMap tensor_map(const void* base, std::initializer_list<int64_t> sizes,
                           std::initializer_list<int64_t> strides, std::initializer_list<int> box) {
  Shape shape{static_cast<uint32_t>(sizes.size()), {}, {}, {}};
  const bool fits = sizes.size() <= kMostRank && strides.size() + 1 == sizes.size() && box.size() == sizes.size();
  if (!fits) fail(ErrorCode::internal, "tensor map: ", sizes.size(), " dimensions do not fit the other lists");
  std::copy(sizes.begin(), sizes.end(), shape.sizes.begin());
  std::copy(strides.begin(), strides.end(), shape.strides.begin());
  std::copy(box.begin(), box.end(), shape.box.begin());
  cuda::TensorMap map;
  if (const char* wrong = encode(map, base, shape)) fail(ErrorCode::internal, "tensor map: ", wrong);
  return map;
}

}  // namespace selfrefine
