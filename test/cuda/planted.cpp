// Kernels with planted errors, each in a process of its own: an error that the simulation reports by itself must be
// thrown, one that a sanitizer reports must end the process, and the kernels without the error must pass.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "check.h"
#include "core/error.h"
#include "cuda/language.h"
#include "cuda/ptx.cuh"
#include "planted.h"

using namespace selfrefine;

namespace {

constexpr int kThreads = 64, kThrown = 10, kWrongValue = 11;

__global__ void divergent_barrier(int* out) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  *out = 1;
}

__global__ void deadlock(int*) {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x == 40) __syncwarp(3u << 8);  // lane 8 never names lanes 8 and 9 at this place
  if (threadIdx.x > 32) __syncwarp();
}

__global__ void waits_for_itself(int* out) {
  if (threadIdx.x % 32 < 16) *out = static_cast<int>(__ballot_sync(0xffffffffu, 1));
  if (threadIdx.x % 32 >= 16) __syncthreads();
}

__global__ void shuffle_outside_mask(int* out) {
  if (threadIdx.x % 32 < 8) out[threadIdx.x] = __shfl_xor_sync(0xffu, 1, 8);
}

/// The sum over the block, read with or without waiting for the writes.
template <bool kBarrier>
__global__ void reduction(int* out) {
  __shared__ int parts[kThreads];
  parts[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  int sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += parts[i];
  out[threadIdx.x] = sum;
}

/// A loop over tiles as in attention: without the barrier at its end the next tile overwrites what others still read.
template <bool kBarrier>
__global__ void tile_loop(int* out, const int* in) {
  DYN_SMEM(int, tile);
  int sum = 0;
  for (int step = 0; step < 4; ++step) {
    tile[threadIdx.x] = in[threadIdx.x] + step;
    __syncthreads();
    sum += tile[(threadIdx.x + 33) % kThreads];
    if (kBarrier) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

template <bool kWait, bool kBarrier>
__global__ void copy_through_shared(float* out, const float* in) {
  DYN_SMEM(float, tile);
  cuda::cp_async_16(tile + 4 * threadIdx.x, in + 4 * threadIdx.x);
  cuda::cp_async_commit();
  if (kWait) cuda::cp_async_wait<0>();
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = tile[(threadIdx.x + 33) % kThreads];
}

__global__ void misaligned_copy(float* out, const float* in) {
  DYN_SMEM(float, tile);
  cuda::cp_async_16(tile, in + 1);
  out[0] = tile[0];
}

__global__ void dynamic_out_of_bounds(int* out) {
  DYN_SMEM(int, tile);
  tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x + 1];
}

template <int kSize>
__global__ void static_out_of_bounds(int* out, int by) {
  __shared__ int tile[kSize];
  tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[static_cast<int>(threadIdx.x) + by];
}

__global__ void global_out_of_bounds(int* out) { out[threadIdx.x + 1] = 1; }

__global__ void misaligned_access(float* out) {
  const float4 all = *reinterpret_cast<const float4*>(out + 1);
  out[0] = all.x;
}

bool all_equal(const int* values, int wanted) {
  for (int i = 0; i < kThreads; ++i) {
    if (values[i] != wanted) return false;
  }
  return true;
}

template <bool kWait, bool kBarrier>
bool copies() {
  Values<float> in(4 * kThreads), out(kThreads);
  LAUNCH((copy_through_shared<kWait, kBarrier>), 1, kThreads, 16 * kThreads, nullptr, out.data, in.data);
  for (int i = 0; i < kThreads; ++i) {
    if (out.data[i] != static_cast<float>((i + 33) % kThreads)) return false;
  }
  return true;
}

template <bool kBarrier>
bool loops() {
  Values<int> in(kThreads), out(kThreads);
  LAUNCH(tile_loop<kBarrier>, 1, kThreads, sizeof(int) * kThreads, nullptr, out.data, in.data);
  return kBarrier ? out.data[0] == 4 * 33 + 6 : true;
}

template <bool kBarrier>
bool reduces() {
  Values<int> out(kThreads);
  LAUNCH(reduction<kBarrier>, 1, kThreads, 0, nullptr, out.data);
  return kBarrier ? all_equal(out.data, kThreads * (kThreads - 1) / 2) : true;
}

template <auto kKernel, unsigned kSharedBytes = 0>
bool run_kernel() {
  Values<int> out(kThreads);
  LAUNCH(kKernel, 1, kThreads, kSharedBytes, nullptr, out.data);
  return true;
}

constexpr Planted kPlanted[] = {
    {"a divergent barrier", Finder::simulation, run_kernel<divergent_barrier>},
    {"a deadlock", Finder::simulation, run_kernel<deadlock>},
    {"lanes that a mask names and that wait elsewhere", Finder::simulation, run_kernel<waits_for_itself>},
    {"a shuffle from outside the mask", Finder::simulation, run_kernel<shuffle_outside_mask>},
    {"more dynamic shared memory than asked for", Finder::simulation, run_kernel<dynamic_out_of_bounds, 50000>},
    {"a misaligned cp.async", Finder::simulation,
     [] {
       Values<float> in(kThreads);
       LAUNCH(misaligned_copy, 1, 1, 64, nullptr, in.data, in.data);
       return true;
     }},
    {"a missing wait for cp.async", Finder::value, copies<false, true>},
    {"a missing barrier after cp.async", Finder::race, copies<true, false>},
    {"copies by cp.async", Finder::nothing, copies<true, true>},
    {"a reduction without its barrier", Finder::race, reduces<false>},
    {"a reduction", Finder::nothing, reduces<true>},
    {"a loop over tiles without the barrier at its end", Finder::race, loops<false>},
    {"a loop over tiles", Finder::nothing, loops<true>},
    {"dynamic shared memory out of bounds", Finder::address, run_kernel<dynamic_out_of_bounds, kThreads * 4>},
    {"static shared memory out of bounds", Finder::address,
     [] {
       Values<int> out(kThreads);
       LAUNCH(static_out_of_bounds<kThreads>, 1, kThreads, 0, nullptr, out.data, 1);
       return true;
     }},
    {"global memory out of bounds", Finder::address, run_kernel<global_out_of_bounds>},
    {"a misaligned access of 16 bytes", Finder::behaviour,
     [] {
       Values<float> out(8);
       LAUNCH(misaligned_access, 1, 1, 0, nullptr, out.data);
       return true;
     }},
};

bool can_find(Finder finder) {
#if defined(CUDASIM_ASAN)
  return finder != Finder::race;
#elif defined(CUDASIM_TSAN)
  return finder != Finder::address && finder != Finder::behaviour;
#else
  return finder != Finder::race && finder != Finder::address && finder != Finder::behaviour;
#endif
}

/// In the child: the error itself. Sanitizers end the process by other codes than these.
int outcome(const Planted& planted) {
  try {
    return planted.run() ? 0 : kWrongValue;
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return kThrown;
  }
}

/// Who is to find it in this build.
Finder finder_here(Finder finder) {
#if defined(CUDASIM_TSAN)
  if (finder == Finder::race_or_simulation || finder == Finder::race_or_value) return Finder::race;
#endif
  if (finder == Finder::race_or_simulation) return Finder::simulation;
  return finder == Finder::race_or_value ? Finder::value : finder;
}

bool as_expected(Finder finder, int status) {
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  switch (finder) {
    case Finder::nothing: return code == 0;
    case Finder::simulation: return code == kThrown;
    case Finder::value: return code == kWrongValue;
    default: return code != 0 && code != kThrown && code != kWrongValue && code != -1;
  }
}

}  // namespace

int run_planted() {
  int passed = 0, failed = 0, skipped = 0;
  std::vector<Planted> all(std::begin(kPlanted), std::end(kPlanted));
  all.insert(all.end(), hopper_planted().begin(), hopper_planted().end());
  all.insert(all.end(), cluster_planted().begin(), cluster_planted().end());
  all.insert(all.end(), graph_planted().begin(), graph_planted().end());
  all.insert(all.end(), stream_planted().begin(), stream_planted().end());
  for (const Planted& planted : all) {
    if (!can_find(planted.finder)) {
      std::printf("skipped: %s needs another sanitizer\n", planted.name);
      ++skipped;
      continue;
    }
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      if (std::getenv("SELFREFINE_VERBOSE") == nullptr && std::freopen("/dev/null", "w", stderr) == nullptr) return 1;
      std::exit(outcome(planted));
    }
    int status = 0;
    waitpid(child, &status, 0);
    const bool right = as_expected(finder_here(planted.finder), status);
    right ? ++passed : ++failed;
    std::printf("%s: %s (status %d)\n", right ? "passed" : "FAILED", planted.name, status);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed;
}
