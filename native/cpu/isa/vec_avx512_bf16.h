// Vector primitives for AVX-512 with the bf16 dot product: those of AVX-512 and what works on pairs of bf16.
// The dot product takes subnormal operands as 0. Included by cpu/vec.h only.
#include "cpu/isa/vec_avx512.h"

#define SELFREFINE_DOT_PAIRS

SELFREFINE_ISA_BEGIN

/// c + a.low * b.low + a.high * b.high in every lane, where a and b hold two bf16 a lane.
SELFREFINE_INLINE Vec dot_pairs(Vec a, Vec b, Vec c) {
  return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)};
}

/// The first n <= 32 bf16 as they lie in memory, then zeros.
SELFREFINE_INLINE Vec load_pairs_n(const bf16* p, int n) {
  return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi16((__mmask32)((uint64_t{1} << n) - 1), p))};
}

/// Lanes (low[i], high[i]) for i < n, zeros above; a null high reads as zeros.
SELFREFINE_INLINE Vec interleave_n(const bf16* low, const bf16* high, int n) {
  const __mmask16 lanes = first_n(n).m;
  const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low));
  if (high == nullptr) return {_mm512_castsi512_ps(even)};
  const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, high));
  return {_mm512_castsi512_ps(_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)))};
}

SELFREFINE_ISA_END
