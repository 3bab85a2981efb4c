// CUDA C++ on the CPU, to test kernels without a GPU: the source that nvcc compiles, compiled by the C++ compiler. Each
// CUDA thread is a fiber with a stack of its own, each block runs on one of the machine's threads. It shows whether
// results are right; it knows nothing of speed, and of the GPU's memory model only barriers. Settings by environment:
//   CUDASIM_THREADS    machine threads for blocks (default: every processor; under a sanitizer always 1)
//   CUDASIM_ORDER      order of a block's threads: 0 ascending, 1 descending, any other number a seed
//   CUDASIM_SMS        multiprocessors that the device claims to have (default 2)
//   CUDASIM_COMPUTE    compute capability that it claims to have, such as 80, 86 or 90 (default 90)
//   CUDASIM_HOST_ACCESS  set: host code may touch device memory (see device_memory.h)
#pragma once

#define CUDASIM 1

#include "cuda/sim/async_copy.h"
#include "cuda/sim/bfloat16.h"
#include "cuda/sim/collectives.h"
#include "cuda/sim/device_memory.h"
#include "cuda/sim/hopper.h"
#include "cuda/sim/host.h"
#include "cuda/sim/intrinsics.h"
#include "cuda/sim/language.h"
#include "cuda/sim/launch.h"
#include "cuda/sim/tensor_core.h"
