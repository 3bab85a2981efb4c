// Device functions that are plain C++ here: cached loads and stores, atomics, bits, fast mathematics (here exact).
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

using std::max;
using std::min;

template <typename T>
T __ldg(const T* from) { return *from; }
template <typename T>
T __ldcs(const T* from) { return *from; }
template <typename T>
T __ldcg(const T* from) { return *from; }
template <typename T>
void __stcs(T* to, T value) { *to = value; }
template <typename T>
void __stcg(T* to, T value) { *to = value; }

namespace cudasim {

/// Replaces *at by next(*at); returns what was there.
template <typename T, typename F>
T update(T* at, F&& next) {
  std::atomic_ref<T> cell(*at);
  T before = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(before, next(before), std::memory_order_relaxed)) {
  }
  return before;
}

}  // namespace cudasim

template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return cudasim::update(at, [&](T x) { return static_cast<T>(x + value); });
}
template <typename T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return cudasim::update(at, [&](T x) { return std::max(x, value); });
}
template <typename T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return cudasim::update(at, [&](T x) { return std::min(x, value); });
}
template <typename T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return cudasim::update(at, [&](T x) { return static_cast<T>(x | value); });
}
template <typename T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return cudasim::update(at, [&](T) { return value; });
}
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*at).compare_exchange_strong(compare, value);
  return compare;
}

inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void __threadfence_block() { std::atomic_thread_fence(std::memory_order_seq_cst); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __saturatef(float x) { return std::min(std::max(x, 0.0f), 1.0f); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
