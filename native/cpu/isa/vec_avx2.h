// Vector primitives for AVX2 with FMA: 8 floats. Included by cpu/vec.h only.
#include <immintrin.h>

SELFREFINE_ISA_BEGIN

constexpr int kWidth = 8;

// The register tile of matrix products: 6 x 2 accumulators of 16 registers, the rest for operands.
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;

struct Vec {
  __m256 v;
};

struct Mask {
  __m256 m;
};

typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

SELFREFINE_INLINE __m256i lanes_below(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

SELFREFINE_INLINE Mask first_n(int n) { return {_mm256_castsi256_ps(lanes_below(n))}; }

SELFREFINE_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }

SELFREFINE_INLINE Vec widen(__m128i halves) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}

/// The upper halves after `noise` was added to the bits.
SELFREFINE_INLINE __m128i narrow(Vec x, __m256i noise) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i rounded = _mm256_add_epi32(bits, noise);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}

SELFREFINE_INLINE __m128i narrow(Vec x) {
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(_mm256_castps_si256(x.v), 16), _mm256_set1_epi32(1));
  return narrow(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
}

SELFREFINE_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
SELFREFINE_INLINE Vec load(const bf16* p) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
SELFREFINE_INLINE Vec load_n(const float* p, int n) { return {_mm256_maskload_ps(p, lanes_below(n))}; }
SELFREFINE_INLINE Vec load_n(const bf16* p, int n) {
  bf16 lanes[kWidth] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}

SELFREFINE_INLINE void store(float* p, Vec x) { _mm256_storeu_ps(p, x.v); }
SELFREFINE_INLINE void store(bf16* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x)); }
SELFREFINE_INLINE void store_n(float* p, Vec x, int n) { _mm256_maskstore_ps(p, lanes_below(n), x.v); }
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n) {
  bf16 lanes[kWidth];
  store(lanes, x);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n, Words noise) {
  bf16 lanes[kWidth];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), narrow(x, reinterpret_cast<__m256i>(noise)));
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

SELFREFINE_INLINE Words mul_wide(Words a, uint32_t b, Words& high) {
  const __m256i x = reinterpret_cast<__m256i>(a), factor = _mm256_set1_epi32(static_cast<int>(b));
  const __m256i even = _mm256_mul_epu32(x, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
  high = reinterpret_cast<Words>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
  return reinterpret_cast<Words>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
}

SELFREFINE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
SELFREFINE_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
SELFREFINE_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
SELFREFINE_INLINE Vec sqrt(Vec x) { return {_mm256_sqrt_ps(x.v)}; }
SELFREFINE_INLINE Vec abs(Vec x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v)}; }
SELFREFINE_INLINE Vec round(Vec x) { return {_mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

SELFREFINE_INLINE __m256 power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// In two steps, since 2^n alone may be outside the normal range where x * 2^n is not.
SELFREFINE_INLINE Vec scale(Vec x, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return {x.v * power_of_two(half) * power_of_two(_mm256_sub_epi32(whole, half))};
}

SELFREFINE_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
SELFREFINE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.m)}; }

SELFREFINE_INLINE float reduce_add(Vec x) {
  const __m128 half = _mm256_castps256_ps128(x.v) + _mm256_extractf128_ps(x.v, 1);
  const __m128 pair = half + _mm_movehl_ps(half, half);
  return pair[0] + pair[1];
}

SELFREFINE_INLINE float reduce_max(Vec x) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return pair[0] > pair[1] ? pair[0] : pair[1];
}

// 8 x 8 in three rounds: pairs of rows, pairs of pairs, then 128-bit halves.
SELFREFINE_INLINE void transpose(Vec (&r)[kWidth]) {
  __m256 t[kWidth], u[kWidth];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i].v = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    r[i + 4].v = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

SELFREFINE_ISA_END
