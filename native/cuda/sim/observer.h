// A look at launches from outside, for tests.
#pragma once

#include <functional>

#include "cuda/sim/launch.h"

namespace cudasim {

/// While there is one, launches are told to it and not run: which kernels would some work start?
inline std::function<void(const Launch&)> launch_observer;

}  // namespace cudasim
