// Packs an operand into the panels that gemm_kernels.h describes. All transposition of a product happens here: where k is
// contiguous in memory by kWidth x kWidth transposes in registers, else by copying short lines.
#pragma once

#include "cpu/gemm_kernels.h"
#include "cpu/vec.h"

SELFREFINE_ISA_BEGIN
namespace gemm {

// Units are moved through memcpy: their type is not that of the memory they come from.
SELFREFINE_INLINE Vec load_unit(const void* p) {
  Vec x;
  __builtin_memcpy(&x.v, p, sizeof x.v);
  return x;
}

SELFREFINE_INLINE void store_units(uint32_t* p, Vec x, int64_t n) {
  if (n >= kWidth) __builtin_memcpy(p, &x.v, sizeof x.v);
  else store_n(reinterpret_cast<float*>(p), x, static_cast<int>(n));
}

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
    return left >= 2 * kWidth ? load_unit(p) : load_pairs_n(p, static_cast<int>(left));
  }
  static SELFREFINE_INLINE Vec across(const bf16* p, int64_t ld, bool has_odd, int64_t n) {
    const int lanes = static_cast<int>(min_of<int64_t>(n, kWidth));
    return interleave_n(p, has_odd ? p + ld : nullptr, lanes);
  }
};
#endif

template <typename Source>
void pack_transposed(const PackJob& job, int64_t panel, int64_t width, int64_t rows) {
  using T = typename Source::Element;
  const T* source = static_cast<const T*>(job.source) + panel * job.width * job.ld;
  uint32_t* target = job.target + panel * job.panel_stride;
  for (int64_t i0 = 0; i0 < width; i0 += kWidth) {
    const int64_t lanes = min_of<int64_t>(kWidth, width - i0);
    for (int64_t step = job.step_begin; step < job.step_end; step += kWidth) {
      const int64_t left = job.k - step * Source::kPerStep;
      Vec block[kWidth];
      for (int i = 0; i < kWidth; ++i) {
        block[i] = i0 + i < rows ? Source::along(source + (i0 + i) * job.ld + step * Source::kPerStep, left) : zero();
      }
      transpose(block);
      const int64_t steps = min_of<int64_t>(kWidth, job.step_end - step);
      for (int64_t s = 0; s < steps; ++s) {
        // A narrow panel is written in whole vectors too: what spills over is written again by the steps that follow.
        const bool spills = width < kWidth && (job.step_end - step - s) * width >= kWidth;
        store_units(target + (step + s) * width + i0, block[s], spills ? kWidth : lanes);
      }
    }
  }
}

template <typename Source>
void pack_lines(const PackJob& job, int64_t panel, int64_t width, int64_t rows, int64_t begin, int64_t end) {
  using T = typename Source::Element;
  const T* source = static_cast<const T*>(job.source) + panel * job.width;
  uint32_t* target = job.target + panel * job.panel_stride;
  for (int64_t step = begin; step < end; ++step) {
    const T* line = source + step * Source::kPerStep * job.ld;
    const bool has_odd = Source::kPerStep == 2 && step * 2 + 1 < job.k;
    for (int64_t i = 0; i < width; i += kWidth) {
      const Vec x = i < rows ? Source::across(line + i, job.ld, has_odd, rows - i) : zero();
      store_units(target + step * width + i, x, width - i);
    }
  }
}

template <typename Source>
void pack_panels(const PackJob& job) {
  // Few lines at a time, over all panels: their cache lines are still there for the next panel, whatever the stride.
  constexpr int64_t kLines = 8;
  const auto rows_of = [&](int64_t panel) { return min_of(job.width, job.count - panel * job.width); };
  const auto width_of = [&](int64_t panel) { return job.pad ? job.width : rows_of(panel); };
  if (job.k_contiguous) {
    for (int64_t panel = job.panel_begin; panel < job.panel_end; ++panel) {
      pack_transposed<Source>(job, panel, width_of(panel), rows_of(panel));
    }
    return;
  }
  for (int64_t step = job.step_begin; step < job.step_end; step += kLines) {
    const int64_t end = min_of(step + kLines, job.step_end);
    for (int64_t panel = job.panel_begin; panel < job.panel_end; ++panel) {
      pack_lines<Source>(job, panel, width_of(panel), rows_of(panel), step, end);
    }
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
