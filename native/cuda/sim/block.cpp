// The scheduler of a block's threads.
#include "cuda/sim/block.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "core/error.h"
#include "cuda/sim/cluster.h"
#include "cuda/sim/watched.h"

constinit thread_local uint3 threadIdx, blockIdx;
constinit thread_local dim3 blockDim, gridDim;

namespace cudasim {

using selfrefine::concat;
using selfrefine::ErrorCode;

namespace {

constexpr size_t kSharedMargin = 256;  // behind a launch's dynamic shared memory, poisoned

/// Unwinds a thread whose error has been noted.
struct Failed {};

unsigned volume(const dim3& size) { return size.x * size.y * size.z; }

/// The first member of a set of 32 bits, which is not empty, from `begin` on and around.
unsigned first_from(unsigned begin, uint32_t set) {
  return (begin + static_cast<unsigned>(std::countr_zero(std::rotr(set, static_cast<int>(begin))))) % 32;
}

std::string place(const Site& site) { return concat(site.file_name(), ":", site.line()); }

std::string triple(const uint3& index) { return concat(index.x, ",", index.y, ",", index.z); }

}  // namespace

bool same_site(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

Block::~Block() {
  const Unseen bookkeeping;
  discard_fibers();
  warps_.reset();
  unpoison(shared_, shared_capacity_);
  std::free(shared_);
}

void Block::discard_fibers() {
  const Unseen bookkeeping;  // they may have been abandoned in the middle
#if defined(CUDASIM_TSAN)
  for (Thread& thread : threads_) __tsan_destroy_fiber(thread.fiber.tsan_fiber);
#endif
  threads_.clear();
  stacks_.forget_frames();
}

void Block::prepare_memory(const Program& program) {
  count_ = volume(program.block);
  if (threads_.size() < count_) {
    discard_fibers();
    stacks_.grow(count_);
    threads_.resize(count_);
    for (unsigned i = 0; i < count_; ++i) {
      threads_[i].number = i;
      stacks_.assign(i, threads_[i].fiber);
#if defined(CUDASIM_TSAN)
      threads_[i].fiber.tsan_fiber = __tsan_create_fiber(0);
#endif
    }
  }
  if (!warps_) warps_ = std::make_unique<Warp[]>(kMostThreads / kWarp);
  if (program.shared_bytes + kSharedMargin > shared_capacity_) {
    unpoison(shared_, shared_capacity_);
    std::free(shared_);
    shared_capacity_ = (program.shared_bytes + kSharedMargin + 1023) / 1024 * 1024;
    shared_ = static_cast<unsigned char*>(std::aligned_alloc(1024, shared_capacity_));
    if (shared_ == nullptr) selfrefine::fail(ErrorCode::out_of_memory, "simulated GPU: no memory for shared memory");
  }
  unpoison(shared_, shared_capacity_);
  poison(shared_ + program.shared_bytes, shared_capacity_ - program.shared_bytes);
}

void Block::start_threads(const Program& program, uint3 index) {
  index_ = index;
  blockDim = program.block;
  gridDim = program.grid;
  random_ = program.order * 0x9e3779b97f4a7c15u + index.x + (static_cast<uint64_t>(index.y) << 20) +
            (static_cast<uint64_t>(index.z) << 40);
  transfers_.reset(program.shared_bytes);
  warpgroups_.reset(count_, program.shared_bytes);
  live_ = count_;
  waiting_ = ready_warps_ = current_warp_ = 0;
  for (unsigned w = 0; w * kWarp < count_; ++w) {
    const unsigned lanes = std::min(kWarp, count_ - w * kWarp);
    warps_[w].live = lanes == kWarp ? ~0u : (1u << lanes) - 1;
    warps_[w].ready = warps_[w].at_barrier = 0;
    for (Collective& collective : warps_[w].collectives) collective.mask = collective.arrived = 0;
    make_ready(w, warps_[w].live);
  }
  const dim3& size = program.block;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    thread.copy_group = 0;
    thread.copies.clear();
    thread.has_arrived = false;
    prepare(thread.fiber, &thread_main);
  }
}

void Block::begin(const Program& program, uint3 index) {
  prepare_memory(program);
  program_ = &program;
  std::memset(shared_, 0xff, program.shared_bytes);
  start_threads(program, index);
  cluster_waiters_ = {};
  failure_.clear();
  release(&begin_);
}

void Block::resume() {
  adopt_current_stack(machine_thread_);
  blockIdx = index_;
  running_ = next_ready();
  threadIdx = running_->index;
  switch_fiber(machine_thread_, running_->fiber);
  running_ = nullptr;
}

std::string Block::end() {
  acquire(&end_);
  blockIdx = index_;
  if (failure_.empty() && live_ > 0) return deadlock();
  if (failure_.empty()) failure_ = transfers_.unfinished();
  if (failure_.empty()) failure_ = warpgroups_.unfinished();
  return failure_;
}

void Block::thread_main() {
  entered_first_time();
  Block& block = here();
  acquire(&block.begin_);
  try {
    block.program_->entry(block.program_->arguments);
  } catch (const Failed&) {
  } catch (const std::exception& error) {
    block.failure_ = concat("exception in a kernel: ", error.what());
  }
  release(&block.end_);  // whichever thread is last, the launch is after all of them
  if (!block.failure_.empty()) switch_fiber(block.running_->fiber, block.machine_thread_, true);
  block.finish_thread();
  __builtin_unreachable();
}

void Block::finish_thread() {
  --live_;
  Cluster::here().leave(*running_);
  warp_of(*running_).live &= ~(1u << running_->lane());
  if (live_ > 0 && waiting_ == live_) release_barrier();
  switch_to_next(true);
}

void Block::wait(const Site& site, const char* what) {
  running_->waits_at = site;
  running_->waits_for = what;
  switch_to_next(false);
}

void Block::yield() {
  const unsigned warp = running_->number / kWarp;
  make_ready(warp, 1u << running_->lane());
  current_warp_ = first_from((warp + 1) % kWarp, ready_warps_);
  switch_to_next(false);
}

void Block::make_ready(unsigned warp, uint32_t lanes) {
  warps_[warp].ready |= lanes;
  ready_warps_ |= 1u << warp;
}

/// Leaves the running thread for the next that can run; for the machine's own thread if there is none.
void Block::switch_to_next(bool ends) {
  Thread* const from = running_;
  Thread* const to = next_ready();
  if (to == from) return;
  if (to == nullptr) return switch_fiber(from->fiber, machine_thread_, ends);
  running_ = to;
  threadIdx = to->index;
  switch_fiber(from->fiber, to->fiber, ends);
}

/// Stays with a warp while one of its threads can run: their stacks are in the cache.
Thread* Block::next_ready() {
  if (ready_warps_ == 0) return nullptr;
  if (program_->order > 1 || (ready_warps_ >> current_warp_ & 1u) == 0) current_warp_ = choose(ready_warps_);
  Warp& warp = warps_[current_warp_];
  const unsigned lane = choose(warp.ready);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps_ &= ~(1u << current_warp_);
  return &threads_[current_warp_ * kWarp + lane];
}

/// A member of a set of bits that is not empty.
unsigned Block::choose(uint32_t set) {
  if (program_->order == 0) return static_cast<unsigned>(std::countr_zero(set));
  if (program_->order == 1) return 31u - static_cast<unsigned>(std::countl_zero(set));
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return first_from(static_cast<unsigned>(random_ >> 59), set);
}

void Block::sync_threads(const Site& site) {
  if (waiting_ == 0) {
    barrier_site_ = site;
  } else if (!same_site(site, barrier_site_)) {
    fail(concat("divergent __syncthreads: other threads wait at ", place(barrier_site_)), site);
  }
  char* const token = &barrier_[barriers_ & 1u];
  release(token);
  ++waiting_;
  warp_of(*running_).at_barrier |= 1u << running_->lane();
  if (waiting_ == live_) release_barrier();
  wait(site, "it");
  acquire(token);
}

void Block::release_barrier() {
  waiting_ = 0;
  ++barriers_;
  for (unsigned w = 0; w * kWarp < count_; ++w) {
    if (warps_[w].at_barrier == 0) continue;
    make_ready(w, warps_[w].at_barrier);
    warps_[w].at_barrier = 0;
  }
}

void Block::wait_for_cluster(const Site& site) {
  cluster_waiters_.insert(running_->number);
  wait(site, "the cluster's barrier");
}

void Block::note_failure(const std::string& what) {
  failure_ = concat(what, " (block ", triple(index_), ", thread ", triple(running_->index), ")");
  release(&end_);
}

std::string Block::deadlock() const {
  unsigned stuck = 0;
  while ((warps_[stuck / kWarp].live >> (stuck % kWarp) & 1u) == 0) ++stuck;
  return concat(place(threads_[stuck].waits_at), ": deadlock: ", waiting_, " of ", live_,
                " threads wait at __syncthreads, thread ", stuck, " here at ",
                threads_[stuck].waits_for, " (block ", triple(blockIdx), ")");
}

void Block::fail(const std::string& what, const Site& site) {
  if (running_ == nullptr) selfrefine::fail(ErrorCode::cuda, place(site), ": ", what);
  failure_ = concat(place(site), ": ", what, " (block ", triple(blockIdx), ", thread ", triple(threadIdx), ")");
  throw Failed();
}

unsigned char* dynamic_shared() { return Block::here().shared(); }

void fail(const char* what, const Site& site) { Block::here().fail(what, site); }

}  // namespace cudasim
