// mma.m16n8k16 for bfloat16 and ldmatrix, by the fragment layouts of the PTX manual; what the fragments hold stands in
// cuda/ptx.cuh.
#pragma once

#include "cuda/sim/language.h"

namespace cudasim {

/// d += a b, all lanes of the warp together.
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Site& site);

/// The rows of 16 bytes whose addresses the lanes gave, by lane.
struct MatrixRows {
  const unsigned char* addresses;
  const uint16_t* operator[](unsigned lane) const {
    const uint16_t* row;
    __builtin_memcpy(&row, addresses + lane * sizeof row, sizeof row);
    return row;
  }
};
MatrixRows exchange_rows(const void* row, const Site& site);
unsigned current_lane();

/// In the header, so that ThreadSanitizer sees the reads of shared memory.
template <bool kTransposed>
void ldmatrix_x4(uint32_t (&r)[4], const void* row, const Site& site) {
  const MatrixRows rows = exchange_rows(row, site);
  const unsigned lane = current_lane(), g = lane / 4, t = lane % 4 * 2;
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const unsigned first = matrix * 8;
    const uint16_t low = kTransposed ? rows[first + t][g] : rows[first + g][t];
    const uint16_t high = kTransposed ? rows[first + t + 1][g] : rows[first + g][t + 1];
    r[matrix] = low | static_cast<uint32_t>(high) << 16;
  }
}

}  // namespace cudasim
