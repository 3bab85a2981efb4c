// Element types of tensors, and the bfloat16 storage type with its conversions.
// Arithmetic on bf16 is always done in fp32; only storage is narrow.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace selfrefine {

enum class DType : uint8_t { f32, bf16, f16, i32, f64 };

constexpr int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32: case DType::i32: return 4;
    case DType::bf16: case DType::f16: return 2;
    case DType::f64: return 8;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return "float32";
    case DType::bf16: return "bfloat16";
    case DType::f16: return "float16";
    case DType::i32: return "int32";
    case DType::f64: return "float64";
  }
  return "?";
}

/// bfloat16: the upper half of an IEEE float; from_float rounds to nearest even and keeps NaN a NaN.
struct bf16 {
  uint16_t bits;
};

inline float to_float(float x) { return x; }

inline float to_float(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <typename T>
inline T from_float(float x);

template <>
inline float from_float<float>(float x) { return x; }

template <>
inline bf16 from_float<bf16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

template <typename T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };

/// Calls f with a value of the storage type of a real-valued tensor:
/// visit_real(dtype, [&](auto zero) { using T = decltype(zero); ... }).
template <typename F>
decltype(auto) visit_real(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::bf16: return f(bf16{});
    default:
      fail(ErrorCode::unsupported, "dtype ", name_of(dtype), " is not computed in, expected float32 or bfloat16");
  }
}

}  // namespace selfrefine
