// Vector primitives for AVX-512 (F, BW, VL, DQ): 16 floats, tails by mask registers. Included by cpu/vec.h only.
#pragma GCC diagnostic push // g++ 12 takes the deliberately undefined pass-through operands of intrinsics for mistakes
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

SELFREFINE_ISA_BEGIN

constexpr int kWidth = 16;

// The register tile of matrix products: 12 x 2 accumulators of 32 registers, the rest for operands.
constexpr int kTileRows = 12;
constexpr int kTileVectors = 2;

struct Vec {
  __m512 v;
};

struct Mask {
  __mmask16 m;
};

typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

SELFREFINE_INLINE Mask first_n(int n) { return {static_cast<__mmask16>((1u << n) - 1u)}; }

SELFREFINE_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }

SELFREFINE_INLINE Vec widen(__m256i halves) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}

/// The upper halves after `noise` was added to the bits.
SELFREFINE_INLINE __m256i narrow(Vec x, __m512i noise) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i rounded = _mm512_add_epi32(bits, noise);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, is_nan, quiet), 16));
}

// In integers rather than by vcvtneps2bf16, which flushes subnormals: storage rounds alike on every instruction set.
SELFREFINE_INLINE __m256i narrow(Vec x) {
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(_mm512_castps_si512(x.v), 16), _mm512_set1_epi32(1));
  return narrow(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
}

SELFREFINE_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
SELFREFINE_INLINE Vec load(const bf16* p) {
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
SELFREFINE_INLINE Vec load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_n(n).m, p)}; }
SELFREFINE_INLINE Vec load_n(const bf16* p, int n) { return widen(_mm256_maskz_loadu_epi16(first_n(n).m, p)); }

SELFREFINE_INLINE void store(float* p, Vec x) { _mm512_storeu_ps(p, x.v); }
SELFREFINE_INLINE void store(bf16* p, Vec x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x)); }
SELFREFINE_INLINE void store_n(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, first_n(n).m, x.v); }
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n) { _mm256_mask_storeu_epi16(p, first_n(n).m, narrow(x)); }
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n, Words noise) {
  _mm256_mask_storeu_epi16(p, first_n(n).m, narrow(x, reinterpret_cast<__m512i>(noise)));
}

SELFREFINE_INLINE Words mul_wide(Words a, uint32_t b, Words& high) {
  const __m512i x = reinterpret_cast<__m512i>(a), factor = _mm512_set1_epi32(static_cast<int>(b));
  const __m512i even = _mm512_mul_epu32(x, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
  high = reinterpret_cast<Words>(_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd));
  return reinterpret_cast<Words>(_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32)));
}

SELFREFINE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
SELFREFINE_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
SELFREFINE_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
SELFREFINE_INLINE Vec sqrt(Vec x) { return {_mm512_sqrt_ps(x.v)}; }
SELFREFINE_INLINE Vec abs(Vec x) { return {_mm512_abs_ps(x.v)}; }
SELFREFINE_INLINE Vec round(Vec x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
SELFREFINE_INLINE Vec scale(Vec x, Vec n) { return {_mm512_scalef_ps(x.v, n.v)}; }

SELFREFINE_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
SELFREFINE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_mov_ps(b.v, m.m, a.v)}; }

SELFREFINE_INLINE float reduce_add(Vec x) {
  const __m256 half = _mm512_castps512_ps256(x.v) + _mm512_extractf32x8_ps(x.v, 1);
  const __m128 quarter = _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1);
  const __m128 pair = quarter + _mm_movehl_ps(quarter, quarter);
  return pair[0] + pair[1];
}

SELFREFINE_INLINE float reduce_max(Vec x) { return _mm512_reduce_max_ps(x.v); }

// 16 x 16 in four rounds: pairs of rows, pairs of pairs, then whole 128-bit lanes twice.
SELFREFINE_INLINE void transpose(Vec (&r)[kWidth]) {
  __m512 t[kWidth];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i].v = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1].v = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2].v = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3].v = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i].v, r[i + 4].v, 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i].v, r[i + 4].v, 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8].v, r[i + 12].v, 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8].v, r[i + 12].v, 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    r[i].v = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 8].v = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
  }
}

SELFREFINE_ISA_END
