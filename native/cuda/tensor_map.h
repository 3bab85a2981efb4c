// Describes a tensor in global memory to TMA, Hopper's copy engine. The driver encodes the description; it is found at
// run time, so that the backend needs no driver to be loaded.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "cuda/hopper.cuh"

namespace selfrefine {

/// Whether the driver is there and can do it.
bool can_encode_tensor_maps();

/// A tensor of bfloat16 at `base`, and the box of it that one copy brings: dimensions innermost first, `strides` in
/// bytes for one step along dimensions 1, 2, ... The box's lines are 64 elements wide and land with the 128-byte
/// swizzle, elements outside of the tensor as 0. ERR_INTERNAL unless 16 divides `base` and the strides.
cuda::TensorMap tensor_map(const void* base, std::initializer_list<int64_t> sizes,
                           std::initializer_list<int64_t> strides, std::initializer_list<int> box);

}  // namespace selfrefine
