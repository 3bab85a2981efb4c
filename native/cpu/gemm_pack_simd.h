// Packs an operand into the panels that gemm_kernels.h describes. All transposition of a product happens here, in
// registers, kWidth x kWidth at a time; what need not be transposed is copied in lines or runs.
#pragma once

#include "cpu/gemm_kernels.h"
#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN
namespace gemm {

// Units are moved through memcpy: their type is not that of the memory they come from.
SELFREFINE_INLINE Vec load_units(const void* p) {
  Vec x;
  __builtin_memcpy(&x.v, p, sizeof x.v);
  return x;
}

SELFREFINE_INLINE void store_units(uint32_t* p, Vec x) { __builtin_memcpy(p, &x.v, sizeof x.v); }

// How kWidth units are read from the source. along: successive steps of one row; across: one step of successive rows.
template <typename T>
struct Single {
  using Element = T;
  static constexpr int64_t kPerStep = 1;
  static SELFREFINE_INLINE Vec along(const T* p, int64_t left) {
    return left >= kWidth ? load(p) : load_n(p, static_cast<int>(left));
  }
  static SELFREFINE_INLINE Vec across(const T* p, int64_t, bool, int64_t n) { return along(p, n); }
};

#ifdef SELFREFINE_DOT_PAIRS
struct Pairs {
  using Element = bf16;
  static constexpr int64_t kPerStep = 2;
  static SELFREFINE_INLINE Vec along(const bf16* p, int64_t left) {
    return left >= 2 * kWidth ? load_units(p) : load_pairs_n(p, static_cast<int>(left));
  }
  static SELFREFINE_INLINE Vec across(const bf16* p, int64_t ld, bool has_odd, int64_t n) {
    const int lanes = static_cast<int>(min_of<int64_t>(n, kWidth));
    return interleave_n(p, has_odd ? p + ld : nullptr, lanes);
  }
};
#endif

// How many lines ahead the source is asked for: its rows are too short for the processor to see a stream in them.
constexpr int64_t kPrefetchLines = 8;

template <typename T>
SELFREFINE_INLINE void prefetch(const T* p, int64_t elements) {
  constexpr int64_t kLineElements = 64 / sizeof(T);
  for (int64_t i = 0; i < elements; i += kLineElements) __builtin_prefetch(p + i);
}

template <typename Source>
void pack_transposed(const PackJob& job, int64_t panel) {
  using T = typename Source::Element;
  const T* source = static_cast<const T*>(job.source) + panel * job.width * job.ld;
  uint32_t* target = job.target + panel * job.panel_stride;
  const int64_t rows = job.count - panel * job.width;
  for (int64_t i0 = 0; i0 < job.width; i0 += kWidth) {
    for (int64_t step = job.step_begin; step < job.step_end; step += kWidth) {
      const int64_t at = step * Source::kPerStep;
      Vec block[kWidth];
      for (int i = 0; i < kWidth; ++i) {
        block[i] = i0 + i < rows ? Source::along(source + (i0 + i) * job.ld + at, job.k - at) : zero();
      }
      transpose(block);
      const int64_t steps = min_of<int64_t>(kWidth, job.step_end - step);
      for (int64_t s = 0; s < steps; ++s) store_units(target + (step + s) * job.stride + i0, block[s]);
    }
  }
}

template <typename Source>
void pack_lines(const PackJob& job, int64_t panel, int64_t begin, int64_t end) {
  using T = typename Source::Element;
  const T* source = static_cast<const T*>(job.source) + panel * job.width;
  uint32_t* target = job.target + panel * job.panel_stride;
  const int64_t left = job.count - panel * job.width;
  for (int64_t step = begin; step < end; ++step) {
    const T* row = source + step * Source::kPerStep * job.ld;
    const bool has_odd = Source::kPerStep == 2 && step * 2 + 1 < job.k;
    for (int64_t l = 0; l < Source::kPerStep; ++l) {
      prefetch(row + (kPrefetchLines * Source::kPerStep + l) * job.ld, job.width);
    }
    for (int64_t i = 0; i < job.width; i += kWidth) {
      // May read into the columns of the next panel, which the product ignores, but not beyond the last.
      const Vec x = i < left ? Source::across(row + i, job.ld, has_odd, left - i) : zero();
      store_units(target + step * job.stride + i, x);
    }
  }
}

template <typename Source>
void pack_rows(const PackJob& job, int64_t panel) {
  using T = typename Source::Element;
  const T* source = static_cast<const T*>(job.source) + panel * job.width * job.ld;
  uint32_t* target = job.target + panel * job.panel_stride;
  const int64_t rows = min_of(job.width, job.count - panel * job.width);
  for (int64_t i = 0; i < rows; ++i, source += job.ld, target += job.stride) {
    for (int64_t step = job.step_begin; step < job.step_end; step += kWidth) {
      const int64_t at = step * Source::kPerStep;
      prefetch(source + at + kPrefetchLines * job.ld, kWidth * Source::kPerStep);
      store_units(target + step, Source::along(source + at, job.k - at));
    }
  }
}

template <typename Source>
void pack_panels(const PackJob& job) {
  if (job.k_contiguous) {
    for (int64_t panel = job.panel_begin; panel < job.panel_end; ++panel) {
      if (job.layout == PackLayout::rows) pack_rows<Source>(job, panel);
      else pack_transposed<Source>(job, panel);
    }
    return;
  }
  // Few lines at a time, over all panels: their cache lines are still there for the next panel, whatever the stride.
  constexpr int64_t kLines = 8;
  for (int64_t step = job.step_begin; step < job.step_end; step += kLines) {
    const int64_t end = min_of(step + kLines, job.step_end);
    for (int64_t panel = job.panel_begin; panel < job.panel_end; ++panel) pack_lines<Source>(job, panel, step, end);
  }
}

void pack(const PackJob& job) {
  if (job.dtype == DType::f32) return pack_panels<Single<float>>(job);
#ifdef SELFREFINE_DOT_PAIRS
  return pack_panels<Pairs>(job);
#else
  return pack_panels<Single<bf16>>(job);
#endif
}

}  // namespace gemm
SELFREFINE_ISA_END
