// The matrix product of a warp, computed once by the lane that arrives last.
#include "cuda/sim/tensor_core.h"

#include <bit>
#include <cstring>

#include "cuda/sim/collectives.h"

namespace cudasim {

namespace {

constexpr unsigned kM = 16, kN = 8, kK = 16, kLanes = 32;

/// The registers that a lane gives.
struct Fragment {
  uint32_t a[4], b[2];
};
static_assert(sizeof(Fragment) <= 32);

float low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

void multiply(const unsigned char* given, unsigned char* result) {
  float a[kM][kK], b[kK][kN];
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    Fragment own;
    std::memcpy(&own, given + lane * sizeof own, sizeof own);
    const unsigned g = lane / 4, t = lane % 4 * 2;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = g + i % 2 * 8, column = t + i / 2 * 8;
      a[row][column] = low(own.a[i]);
      a[row][column + 1] = high(own.a[i]);
    }
    for (unsigned i = 0; i < 2; ++i) {
      b[t + i * 8][g] = low(own.b[i]);
      b[t + i * 8 + 1][g] = high(own.b[i]);
    }
  }
  float product[kM][kN] = {};
  for (unsigned row = 0; row < kM; ++row) {
    for (unsigned k = 0; k < kK; ++k) {
      for (unsigned column = 0; column < kN; ++column) product[row][column] += a[row][k] * b[k][column];
    }
  }
  std::memcpy(result, product, sizeof product);
}

}  // namespace

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Site& site) {
  const Fragment own{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const Exchanged all = collective(0xffffffffu, &own, sizeof own, site, multiply);
  const unsigned lane = lane_id();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float product;
    std::memcpy(&product, all.result + (row * kN + column) * sizeof product, sizeof product);
    d[i] += product;
  }
}

MatrixRows exchange_rows(const void* row, const Site& site) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("misaligned row of ldmatrix", site);
  return {collective(0xffffffffu, &row, sizeof row, site).given};
}

unsigned current_lane() { return lane_id(); }

}  // namespace cudasim
