// Vector primitives for 64-bit Arm: 4 floats. Included by cpu/vec.h only.
#include <arm_neon.h>

SELFREFINE_ISA_BEGIN

constexpr int kWidth = 4;

// The register tile of matrix products: 12 x 2 accumulators of 32 registers, the rest for operands.
constexpr int kTileRows = 12;
constexpr int kTileVectors = 2;

struct Vec {
  float32x4_t v;
};

struct Mask {
  uint32x4_t m;
};

typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

SELFREFINE_INLINE Mask first_n(int n) {
  const int32x4_t lane = {0, 1, 2, 3};
  return {vcltq_s32(lane, vdupq_n_s32(n))};
}

SELFREFINE_INLINE Vec broadcast(float x) { return {vdupq_n_f32(x)}; }

SELFREFINE_INLINE Vec widen(uint16x4_t halves) { return {vreinterpretq_f32_u32(vshll_n_u16(halves, 16))}; }

/// The upper halves after `noise` was added to the bits.
SELFREFINE_INLINE uint16x4_t narrow(Vec x, uint32x4_t noise) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
  const uint32x4_t rounded = vaddq_u32(bits, noise);
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(x.v, x.v), rounded, quiet), 16);
}

SELFREFINE_INLINE uint16x4_t narrow(Vec x) {
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(vreinterpretq_u32_f32(x.v), 16), vdupq_n_u32(1));
  return narrow(x, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
}

SELFREFINE_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
SELFREFINE_INLINE Vec load(const bf16* p) { return widen(vld1_u16(reinterpret_cast<const uint16_t*>(p))); }
SELFREFINE_INLINE Vec load_n(const float* p, int n) {
  float lanes[kWidth] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
SELFREFINE_INLINE Vec load_n(const bf16* p, int n) {
  bf16 lanes[kWidth] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}

SELFREFINE_INLINE void store(float* p, Vec x) { vst1q_f32(p, x.v); }
SELFREFINE_INLINE void store(bf16* p, Vec x) { vst1_u16(reinterpret_cast<uint16_t*>(p), narrow(x)); }
SELFREFINE_INLINE void store_n(float* p, Vec x, int n) {
  float lanes[kWidth];
  store(lanes, x);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n) {
  bf16 lanes[kWidth];
  store(lanes, x);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n, Words noise) {
  bf16 lanes[kWidth];
  vst1_u16(reinterpret_cast<uint16_t*>(lanes), narrow(x, (uint32x4_t)noise));
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

SELFREFINE_INLINE Words mul_wide(Words a, uint32_t b, Words& high) {
  const uint32x4_t x = (uint32x4_t)a;
  const uint32x4_t lower = vreinterpretq_u32_u64(vmull_n_u32(vget_low_u32(x), b));
  const uint32x4_t upper = vreinterpretq_u32_u64(vmull_n_u32(vget_high_u32(x), b));
  high = (Words)vuzp2q_u32(lower, upper);
  return (Words)vuzp1q_u32(lower, upper);
}

SELFREFINE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
SELFREFINE_INLINE Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
SELFREFINE_INLINE Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
SELFREFINE_INLINE Vec sqrt(Vec x) { return {vsqrtq_f32(x.v)}; }
SELFREFINE_INLINE Vec abs(Vec x) { return {vabsq_f32(x.v)}; }
SELFREFINE_INLINE Vec round(Vec x) { return {vrndnq_f32(x.v)}; }

SELFREFINE_INLINE float32x4_t power_of_two(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

// In two steps, since 2^n alone may be outside the normal range where x * 2^n is not.
SELFREFINE_INLINE Vec scale(Vec x, Vec n) {
  const int32x4_t whole = vcvtq_s32_f32(n.v);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  return {vmulq_f32(vmulq_f32(x.v, power_of_two(half)), power_of_two(vsubq_s32(whole, half)))};
}

SELFREFINE_INLINE Mask operator<(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
SELFREFINE_INLINE Vec select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.m, a.v, b.v)}; }

SELFREFINE_INLINE float reduce_add(Vec x) {
  const float32x2_t pair = vadd_f32(vget_low_f32(x.v), vget_high_f32(x.v));
  return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}

SELFREFINE_INLINE float reduce_max(Vec x) { return vmaxvq_f32(x.v); }

SELFREFINE_INLINE void transpose(Vec (&r)[kWidth]) {
  const float32x4x2_t ab = vtrnq_f32(r[0].v, r[1].v);
  const float32x4x2_t cd = vtrnq_f32(r[2].v, r[3].v);
  r[0].v = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
  r[1].v = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
  r[2].v = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
  r[3].v = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

SELFREFINE_ISA_END
