// cp.async: the destination is NaN from the start of a copy, the bytes land only at the wait: the earliest and the
// latest that the hardware may write. A kernel that reads too early, or does not wait, then computes NaN.
#pragma once

#include "cuda/sim/language.h"

namespace cudasim {

/// Starts a copy of `valid` of the `bytes` bytes; the rest becomes 0. Addresses must be divisible by `bytes`.
void cp_async(void* to, const void* from, unsigned bytes, unsigned valid, const Site& site);
void cp_async_commit();
/// Waits until at most `pending` groups of this thread are still on their way.
void cp_async_wait(unsigned pending);

}  // namespace cudasim
