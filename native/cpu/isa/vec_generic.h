// Vector primitives in the compiler's generic vectors: 4 floats on any CPU (SSE2, RISC-V, POWER, ...). There is no
// portable one-instruction FMA, so fma rounds twice here. Included by cpu/vec.h only.
SELFREFINE_ISA_BEGIN

constexpr int kWidth = 4;

// The register tile of matrix products: 6 x 2 accumulators of an assumed 16 registers, the rest for operands.
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;

typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));

struct Vec {
  Floats v;
};

struct Mask {
  Ints m;
};

typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

SELFREFINE_INLINE Mask first_n(int n) {
  const Ints lane = {0, 1, 2, 3};
  const Ints bound = {n, n, n, n};
  return {lane < bound};
}

SELFREFINE_INLINE Vec broadcast(float x) { return {Floats{x, x, x, x}}; }

SELFREFINE_INLINE float widen(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

SELFREFINE_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// The upper half after `noise` was added to the bits.
SELFREFINE_INLINE bf16 narrow(float x, uint32_t noise) {
  const uint32_t bits = bits_of(x);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return bf16{static_cast<uint16_t>((is_nan ? bits | 0x400000u : bits + noise) >> 16)};
}

SELFREFINE_INLINE bf16 narrow(float x) { return narrow(x, 0x7fffu + ((bits_of(x) >> 16) & 1u)); }

SELFREFINE_INLINE Vec load(const float* p) {
  Vec x;
  __builtin_memcpy(&x.v, p, sizeof x.v);
  return x;
}
SELFREFINE_INLINE Vec load(const bf16* p) { return {Floats{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])}}; }
SELFREFINE_INLINE Vec load_n(const float* p, int n) {
  float lanes[kWidth] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
SELFREFINE_INLINE Vec load_n(const bf16* p, int n) {
  float lanes[kWidth] = {};
  for (int i = 0; i < n; ++i) lanes[i] = widen(p[i]);
  return load(lanes);
}

SELFREFINE_INLINE void store_n(float* p, Vec x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x.v[i];
}
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n) {
  for (int i = 0; i < n; ++i) p[i] = narrow(x.v[i]);
}
SELFREFINE_INLINE void store_n(bf16* p, Vec x, int n, Words noise) {
  for (int i = 0; i < n; ++i) p[i] = narrow(x.v[i], noise[i]);
}

SELFREFINE_INLINE Words mul_wide(Words a, uint32_t b, Words& high) {
  Words low;
  for (int i = 0; i < kWidth; ++i) {
    const uint64_t product = static_cast<uint64_t>(a[i]) * b;
    low[i] = static_cast<uint32_t>(product);
    high[i] = static_cast<uint32_t>(product >> 32);
  }
  return low;
}
SELFREFINE_INLINE void store(float* p, Vec x) { memcpy(p, &x.v, sizeof x.v); }
SELFREFINE_INLINE void store(bf16* p, Vec x) { store_n(p, x, kWidth); }

SELFREFINE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
SELFREFINE_INLINE Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
SELFREFINE_INLINE Vec select(Mask m, Vec a, Vec b) {
  return {(Floats)((m.m & (Ints)a.v) | (~m.m & (Ints)b.v))};
}
SELFREFINE_INLINE Vec max(Vec a, Vec b) { return select(b < a, a, b); }
SELFREFINE_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
SELFREFINE_INLINE Vec abs(Vec x) { return {(Floats)((Ints)x.v & 0x7fffffff)}; }
SELFREFINE_INLINE Vec sqrt(Vec x) {
  for (int i = 0; i < kWidth; ++i) x.v[i] = __builtin_sqrtf(x.v[i]);
  return x;
}

// Adding 1.5 * 2^23 leaves no bits for a fraction. From 2^22 on that fails; such values are given back as they are,
// halves included.
SELFREFINE_INLINE Vec round(Vec x) {
  const Vec magic = broadcast(12582912.0f);
  const Vec near = {(x.v + magic.v) - magic.v};
  return select(abs(x) < broadcast(4194304.0f), near, x);
}

SELFREFINE_INLINE Floats power_of_two(Ints n) { return (Floats)((n + 127) << 23); }

// In two steps, since 2^n alone may be outside the normal range where x * 2^n is not.
SELFREFINE_INLINE Vec scale(Vec x, Vec n) {
  const Ints whole = __builtin_convertvector(n.v, Ints);
  const Ints half = whole >> 1;
  return {x.v * power_of_two(half) * power_of_two(whole - half)};
}

SELFREFINE_INLINE float reduce_add(Vec x) { return (x.v[0] + x.v[2]) + (x.v[1] + x.v[3]); }

SELFREFINE_INLINE float reduce_max(Vec x) {
  const float a = x.v[0] > x.v[2] ? x.v[0] : x.v[2];
  const float b = x.v[1] > x.v[3] ? x.v[1] : x.v[3];
  return a > b ? a : b;
}

SELFREFINE_INLINE void transpose(Vec (&r)[kWidth]) {
  const Floats a = __builtin_shufflevector(r[0].v, r[1].v, 0, 4, 1, 5);
  const Floats b = __builtin_shufflevector(r[0].v, r[1].v, 2, 6, 3, 7);
  const Floats c = __builtin_shufflevector(r[2].v, r[3].v, 0, 4, 1, 5);
  const Floats d = __builtin_shufflevector(r[2].v, r[3].v, 2, 6, 3, 7);
  r[0].v = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1].v = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2].v = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3].v = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

SELFREFINE_ISA_END
