// The vector type of the CPU kernels. A kernel is written once against this header and compiled once per instruction
// set: each cpu/isa/<isa>.cpp is built with flags of its own, names its namespace (SELFREFINE_ISA) and its primitives
// (SELFREFINE_VEC), and includes every kernel source; cpu/isa/kernels.h says how to add one.
// RULE (one definition): all code here and in kernel sources stands between SELFREFINE_ISA_BEGIN and _END, an unnamed
// namespace per instruction set, and calls no inline function of std or of core/ (not std::min, not from_float): the
// linker could keep the AVX-512 copy of such a function for everybody. Types and constants of core/ are fine.
#pragma once

#include <cstdint>

#include "core/dtype.h"

#ifndef SELFREFINE_ISA
#error "cpu/vec.h belongs to the sources under cpu/isa/: it has a meaning only for one instruction set"
#endif

#if defined(__clang__)
#define SELFREFINE_UNROLL _Pragma("unroll")
#else
#define SELFREFINE_UNROLL _Pragma("GCC unroll 32")
#endif

#define SELFREFINE_ISA_BEGIN namespace selfrefine { namespace SELFREFINE_ISA { namespace {
#define SELFREFINE_ISA_END } } }
#define SELFREFINE_INLINE inline __attribute__((always_inline, unused))

// Gives `Vec` (struct with the native register `v`), `Mask`, `kWidth` and the primitives:
//   load(float*|bf16*), load_n, store, store_n   n lanes, 0 <= n <= kWidth; lanes above read as 0 and are not written
//   broadcast, fma(a, b, c) = a * b + c          one rounding wherever the machine has the instruction
//   max(a, b) = a > b ? a : b, min(a, b)         a NaN in b is kept; one in a is kept on NEON only
//   sqrt, abs, round (to nearest even), scale(x, n) = x * 2^n for an integral n in [-252, 254]
//   a < b, first_n(n) -> Mask;  select(mask, a, b) = mask ? a : b
//   reduce_add, reduce_max                       always in the same order of lanes
// and `Words`, kWidth uint32_t of a compiler's vector type, with
//   store_n(bf16*, Vec, n, noise)                noise (16 bits) is added before the lower half is cut: random rounding
//   mul_wide(a, b, high)                         the lower words of the products, the upper ones in `high`
#include SELFREFINE_VEC

SELFREFINE_ISA_BEGIN

SELFREFINE_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
SELFREFINE_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
SELFREFINE_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
SELFREFINE_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
SELFREFINE_INLINE Vec operator-(Vec a) { return {-a.v}; }
SELFREFINE_INLINE Vec& operator+=(Vec& a, Vec b) { return a = a + b; }
SELFREFINE_INLINE Vec& operator*=(Vec& a, Vec b) { return a = a * b; }
SELFREFINE_INLINE Vec zero() { return broadcast(0.0f); }

/// c - a * b, rounded as fma is.
SELFREFINE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return fma(-a, b, c); }

/// e^x within 2 ulp (1 where fma is one instruction); exp(-inf) = 0, exp(large) = inf, NaN stays NaN, subnormal results
/// are rounded once. x = n ln 2 + r with |r| <= ln(2) / 2, Taylor's series in r to degree 7 (remainder 5e-9),
/// ln 2 in two parts so that n ln2_high has no rounding.
SELFREFINE_INLINE Vec exp(Vec x) {
  x = min(broadcast(89.0f), max(broadcast(-104.0f), x));
  const Vec n = round(x * broadcast(1.44269504f));
  const Vec r = fnma(n, broadcast(-2.12194440e-4f), fnma(n, broadcast(0.693359375f), x));
  Vec p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p, r * r, r) + broadcast(1.0f);
  return scale(p, n);
}

/// 1 / (1 + e^-x), the logistic function.
SELFREFINE_INLINE Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(-x)); }

template <typename T>
SELFREFINE_INLINE T min_of(T a, T b) { return b < a ? b : a; }
template <typename T>
SELFREFINE_INLINE T max_of(T a, T b) { return a < b ? b : a; }

/// Calls step(i, lanes) over [0, n): whole vectors with lanes == kWidth, then at most one tail. Whole vectors get a
/// compile-time kWidth after inlining, so `load_n(p + i, lanes)` in step costs nothing there.
template <typename Step>
SELFREFINE_INLINE void for_lanes(int64_t n, Step step) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) step(i, kWidth);
  if (i < n) step(i, static_cast<int>(n - i));
}

SELFREFINE_ISA_END
