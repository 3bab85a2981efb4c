// The two halves of selfrefine_cuda_check. Each prints what failed and returns how many did.
#pragma once

#include <string>

/// Replays the cases of a file on the simulation and on the reference.
int replay_cases(const std::string& file, const std::string& only);

/// Kernels with planted errors: each must be found by what is there to find it.
int run_planted();
