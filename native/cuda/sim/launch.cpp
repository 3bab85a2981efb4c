// Checks a launch as the driver does and, when its turn comes, shares its blocks out to the machine's threads.
#include "cuda/sim/launch.h"

#include <cstdlib>

#include "core/error.h"
#include "cpu/thread_pool.h"
#include "cuda/sim/block.h"
#include "cuda/sim/cluster.h"
#include "cuda/sim/host.h"
#include "cuda/sim/observer.h"

namespace cudasim {

namespace {

using selfrefine::ErrorCode;

constexpr uint64_t kFewThreads = 1024;  // of CUDA: fewer are done before another machine thread has woken up

/// Never destroyed: its threads may still be asleep when the process ends.
selfrefine::ThreadPool& pool() {
  static auto& shared = *new selfrefine::ThreadPool(kSanitized ? 1 : static_cast<int>(setting("CUDASIM_THREADS", 0)));
  return shared;
}

void check(const Launch& launch) {
  const auto [gx, gy, gz] = launch.grid;
  const auto [bx, by, bz] = launch.block;
  const uint64_t threads = static_cast<uint64_t>(bx) * by * bz;
  if (gx < 1 || gy < 1 || gz < 1 || gx > 0x7fffffffu || gy > 65535 || gz > 65535) {
    selfrefine::fail(ErrorCode::cuda, launch.kernel, ": a grid of ", gx, " x ", gy, " x ", gz, " cannot be launched");
  }
  if (threads < 1 || threads > kMostThreads || bz > 64) {
    selfrefine::fail(ErrorCode::cuda, launch.kernel, ": a block of ", bx, " x ", by, " x ", bz, " cannot be launched");
  }
  if (launch.cluster < 1 || launch.cluster > kMostBlocks || gx % launch.cluster != 0) {
    selfrefine::fail(ErrorCode::cuda, launch.kernel, ": a grid of ", gx, " blocks cannot be launched in clusters of ",
                     launch.cluster);
  }
  if (launch.cluster > 1 && setting("CUDASIM_COMPUTE", 90) < 90) {
    selfrefine::fail(ErrorCode::cuda, launch.kernel, ": a GPU before Hopper has no clusters");
  }
  const size_t most = most_dynamic_shared(launch.function);
  if (launch.shared_bytes > most) {
    selfrefine::fail(ErrorCode::cuda, launch.kernel, ": ", launch.shared_bytes, " bytes of dynamic shared memory, ",
                     most, " are allowed: cudaFuncSetAttribute(cudaFuncAttributeMaxDynamicSharedMemorySize)");
  }
}

void run_blocks(const Block::Program& program) {
  const dim3& grid = program.grid;
  const int64_t clusters = static_cast<int64_t>(grid.x) * grid.y * grid.z / program.cluster;
  const auto run_cluster = [&](int64_t cluster, int) {
    const auto i = static_cast<uint64_t>(cluster) * program.cluster;
    Cluster::here().run(program, {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                                  static_cast<unsigned>(i / grid.x / grid.y)});
  };
  const uint64_t block_threads = static_cast<uint64_t>(program.block.x) * program.block.y * program.block.z;
  if (static_cast<uint64_t>(clusters) * program.cluster * block_threads > kFewThreads) {
    return pool().parallel_for(clusters, run_cluster);
  }
  for (int64_t cluster = 0; cluster < clusters; ++cluster) run_cluster(cluster, 0);
}

}  // namespace

bool admit(const Launch& launch) {
  check(launch);
  if (launch_observer) launch_observer(launch);
  return !launch_observer;
}

void run(const Launch& launch, void (*entry)(const void*), const void* arguments) {
  const Block::Program program{entry, arguments, launch.grid, launch.block, launch.cluster, launch.shared_bytes,
                               static_cast<unsigned>(setting("CUDASIM_ORDER", 0))};
  try {
    run_blocks(program);
  } catch (const selfrefine::Error& error) {
    selfrefine::fail(error.code(), launch.kernel, ": ", error.what());
  }
}

}  // namespace cudasim
