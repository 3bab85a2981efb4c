// What matrix multiplication needs from one instruction set: the register tile, packing, and the product of one tile.
// Plain types only, so that the driver (gemm.cpp) and the per-instruction-set sources share it.
//
// Packed layout. The unit is 32 bits: a float, or two bf16 of successive k where the machine multiplies bf16 pairs
// (`pairs`; an odd k is padded by 0). A panel holds `width` rows of A (columns of B) for all steps: unit (step, i) is at
// step * width + i. Panels follow each other. width is `rows` for A, less for the last panel if rows are left over, and
// `columns` for B, where missing columns are 0.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace selfrefine {

/// Packs steps [step_begin, step_end) of panels [panel_begin, panel_end) of one operand.
struct PackJob {
  const void* source;  // element (0, 0)
  int64_t ld;          // elements between two lines of the source
  bool k_contiguous;   // element (i, k) is at i * ld + k, else at k * ld + i
  DType dtype;
  int64_t count;  // rows of A or columns of B in all
  int64_t k;      // of the whole operand as given here; bounds the reading of the last step
  int64_t width;
  bool pad;  // the last panel has full width, padded by 0
  int64_t panel_begin, panel_end;
  int64_t step_begin, step_end;
  uint32_t* target;
  int64_t panel_stride;  // units between two panels
};

/// One tile of C: (rows, columns) = A panels x B panels, summed block after block of `block` steps.
struct TileJob {
  bool pairs;
  int64_t rows, columns;
  int64_t steps, block;
  const uint32_t* a;
  const uint32_t* b;
  int64_t a_panel_stride, b_panel_stride;

  // Sums of blocks so far, in fp32: read unless `first`, written unless `last`. May be null if first and last and one block.
  float* partial;
  int64_t partial_ld;
  bool first, last;

  // c = sum (+ bias) (+ add), rounded once to c_dtype; bias and add have that type too.
  void* c;
  int64_t ldc;
  DType c_dtype;
  const void* bias;
  const void* add;
  int64_t ld_add;
};

struct GemmKernels {
  int64_t rows, columns;  // of the register tile: the widths of the panels
  bool pairs;             // bf16 operands are multiplied as pairs, else widened to float in packing
  void (*pack)(const PackJob&);
  void (*multiply)(const TileJob&);
};

}  // namespace selfrefine
