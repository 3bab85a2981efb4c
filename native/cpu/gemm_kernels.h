// What matrix multiplication needs from one instruction set: the register tile, packing, and the product of one tile.
// Plain types only, so that the driver (gemm.cpp) and the per-instruction-set sources share it.
//
// The unit of operands is 32 bits: a float, or two bf16 of successive k where the machine multiplies bf16 pairs (an odd
// k is padded by 0). A step is one unit of k. A panel is `width` rows of A or columns of B, in one of two layouts:
//   steps: unit (step, i) is at step * stride + i          rows: unit (step, i) is at i * stride + step
// A lies by rows where k is contiguous in memory, else by steps; a plain matrix often is such a layout already. B is
// always packed, by steps, its last panel padded by columns of 0. What lies beyond width or last step is never used.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace selfrefine {

enum class PackLayout : uint8_t { steps, rows };

/// Packs steps [step_begin, step_end) of panels [panel_begin, panel_end) of one operand.
struct PackJob {
  const void* source;  // element (0, 0)
  int64_t ld;          // elements between two lines of the source
  bool k_contiguous;   // element (i, k) is at i * ld + k, else at k * ld + i
  DType dtype;
  PackLayout layout;  // rows only with k_contiguous
  int64_t count;      // rows of A or columns of B in all
  int64_t k;          // elements that exist from the source on; beyond it reads as 0
  int64_t width;
  int64_t panel_begin, panel_end;
  int64_t step_begin, step_end;  // by rows, whole vectors are written
  uint32_t* target;
  int64_t panel_stride;  // units between two panels
  int64_t stride;        // units between two steps or rows, as the layout says
};

/// One tile of C for one block of k: a chain of fma over its steps.
struct TileJob {
  bool pairs;
  PackLayout a_layout;
  int64_t rows, columns;
  int64_t steps;
  const uint32_t* a;
  const uint32_t* b;
  int64_t a_stride;  // units between its rows, or between its steps, as a_layout says
  int64_t a_panel_stride, b_panel_stride;

  // Sums of the blocks of k so far, in fp32: read unless this is the first block, written unless it is the last.
  bool first, last;
  float* partial;
  int64_t partial_ld;

  // With the last block: c = sum (+ bias) (+ add), rounded once to c_dtype; bias and add have that type too.
  void* c;
  int64_t ldc;
  DType c_dtype;
  const void* bias;
  const void* add;
  int64_t ld_add;
};

struct GemmKernels {
  int64_t rows, columns;  // of the register tile: the widths of the panels
  int64_t vector;         // floats in one
  bool pairs;             // bf16 operands are multiplied as pairs, else widened to float in packing
  void (*pack)(const PackJob&);
  void (*multiply)(const TileJob&);
};

}  // namespace selfrefine
