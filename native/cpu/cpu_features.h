// Which instruction set the CPU kernels use, and how many processors this process may use.
#pragma once

#include <vector>

namespace selfrefine {

enum class Isa { portable, avx2, avx512, avx512_bf16, neon };

/// "portable", "avx2", "avx512", "avx512_bf16", "neon": also the values of SELFREFINE_CPU_ISA.
const char* isa_name(Isa isa);

/// Every instruction set that is compiled in and that this processor and operating system can run, slowest first.
/// The portable one is always there.
std::vector<Isa> supported_isas();

/// The fastest supported instruction set, or the one the environment variable SELFREFINE_CPU_ISA names.
/// Throws invalid_argument on an unknown name, unsupported on one that cannot run here. Reads the variable each time.
Isa choose_isa();

/// Processors this process may keep busy, at least 1: the affinity mask and the cgroup CPU quota (v1 and v2, rounded
/// up) both bound it.
int available_processors();

}  // namespace selfrefine
