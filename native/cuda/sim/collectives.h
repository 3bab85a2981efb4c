// Barriers, and the exchanges of values between the lanes of a warp. Every function notes where it was called: lanes
// that meet must have come from the same place, and a lane that a mask names must come.
#pragma once

#include <cstring>

#include "cuda/sim/language.h"

namespace cudasim {

/// What one lane gives to a collective, by lane, and what `combine` made of it.
struct Exchanged {
  const unsigned char* given;
  const unsigned char* result;
};
/// Called by the last lane that arrives, once for all.
using Combine = void (*)(const unsigned char* given, unsigned char* result);

/// Waits for all lanes of `mask`, each with `bytes` (<= 32) from `value`.
Exchanged collective(unsigned mask, const void* value, size_t bytes, const Site& site, Combine combine = nullptr);

unsigned lane_id();
unsigned ballot(unsigned mask, bool predicate, const Site& site);
void sync_threads(const Site& site);

/// The value of the lane `source`, which must be in the mask.
void shuffle(unsigned mask, void* value, size_t bytes, unsigned source, const Site& site);

template <typename T>
T shuffled(unsigned mask, T value, unsigned source, const Site& site) {
  static_assert(sizeof(T) <= 8);
  shuffle(mask, &value, sizeof value, source, site);
  return value;
}

}  // namespace cudasim

inline void __syncthreads(cudasim::Site site = cudasim::Site::current()) { cudasim::sync_threads(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, cudasim::Site site = cudasim::Site::current()) {
  cudasim::ballot(mask, false, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, cudasim::Site site = cudasim::Site::current()) {
  return cudasim::ballot(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, cudasim::Site site = cudasim::Site::current()) {
  return cudasim::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, cudasim::Site site = cudasim::Site::current()) {
  return cudasim::ballot(mask, predicate != 0, site) == mask;
}

// A source outside the segment of `width` lanes leaves the lane its own value, as on the GPU.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, cudasim::Site site = cudasim::Site::current()) {
  const unsigned lane = cudasim::lane_id(), segment = static_cast<unsigned>(width);
  return cudasim::shuffled(mask, value, lane / segment * segment + static_cast<unsigned>(source) % segment, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, cudasim::Site site = cudasim::Site::current()) {
  const unsigned lane = cudasim::lane_id(), segment = static_cast<unsigned>(width);
  const unsigned source = lane ^ static_cast<unsigned>(bits);
  return cudasim::shuffled(mask, value, source / segment <= lane / segment ? source : lane, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   cudasim::Site site = cudasim::Site::current()) {
  const unsigned lane = cudasim::lane_id(), segment = static_cast<unsigned>(width), source = lane + distance;
  return cudasim::shuffled(mask, value, source / segment == lane / segment ? source : lane, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 cudasim::Site site = cudasim::Site::current()) {
  const unsigned lane = cudasim::lane_id(), segment = static_cast<unsigned>(width);
  return cudasim::shuffled(mask, value, lane % segment >= distance ? lane - distance : lane, site);
}
