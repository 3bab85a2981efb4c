// The blocks of a cluster by turns, and what they share.
#include "cuda/sim/cluster.h"

#include "core/error.h"
#include "cuda/sim/hopper.h"
#include "cuda/sim/watched.h"

namespace cudasim {

Cluster& Cluster::here() {
  thread_local Cluster cluster;
  return cluster;
}

Block& Block::here() { return Cluster::here().current(); }

void Cluster::run(const Block::Program& program, uint3 first) {
  size_ = program.cluster;
  order_ = program.order;
  random_ = first.x + (static_cast<uint64_t>(first.y) << 20);
  while (blocks_.size() < size_) {
    const Unseen bookkeeping;
    blocks_.push_back(std::make_unique<Block>(static_cast<unsigned>(blocks_.size())));
  }
  live_ = arrived_ = generation_ = 0;
  for (unsigned i = 0; i < size_; ++i) {
    current_ = blocks_[i].get();
    current_->begin(program, {first.x + i, first.y, first.z});
    live_ += current_->live();
  }
  while (Block* const next = choose()) {
    current_ = next;
    next->resume();
    if (next->failed()) break;
  }
  end();
}

/// A block that can go on, or none.
Block* Cluster::choose() {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  const unsigned begin = order_ > 1 ? static_cast<unsigned>(random_ >> 61) % size_ : 0;
  for (unsigned i = 0; i < size_; ++i) {
    const unsigned rank = order_ == 1 ? size_ - 1 - i : (begin + i) % size_;
    if (blocks_[rank]->can_run()) return blocks_[rank].get();
  }
  return nullptr;
}

/// Checks each block; the first failure is the launch's.
void Cluster::end() {
  std::string failure;
  for (unsigned i = 0; i < size_; ++i) {
    current_ = blocks_[i].get();
    const std::string own = current_->end();
    if (failure.empty() || current_->failed()) failure = own;
  }
  if (failure.empty()) return;
  for (unsigned i = 0; i < size_; ++i) blocks_[i]->discard_fibers();
  throw selfrefine::Error(selfrefine::ErrorCode::cuda, failure);
}

void Cluster::arrive(const Site& site) {
  Thread& thread = *current_->running();
  if (thread.has_arrived) current_->fail("two arrivals at the cluster's barrier without a wait between them", site);
  thread.has_arrived = true;
  thread.arrived_in = generation_;
  release(&barrier_[generation_ & 1u]);
  if (++arrived_ == live_) release_barrier();
}

void Cluster::wait(const Site& site) {
  Thread& thread = *current_->running();
  if (!thread.has_arrived) current_->fail("a wait at the cluster's barrier without an arrival", site);
  while (generation_ == thread.arrived_in) current_->wait_for_cluster(site);
  thread.has_arrived = false;
  acquire(&barrier_[thread.arrived_in & 1u]);
}

void Cluster::release_barrier() {
  arrived_ = 0;
  ++generation_;
  for (unsigned i = 0; i < size_; ++i) blocks_[i]->wake_from_cluster();
}

void Cluster::leave(const Thread& thread) {
  if (thread.has_arrived) {
    return current_->note_failure("a thread ended between arriving and waiting at the cluster's barrier");
  }
  --live_;
  if (live_ > 0 && arrived_ == live_) release_barrier();
}

void* Cluster::map(const void* shared, size_t bytes, unsigned rank, const Site& site) {
  if (rank >= size_) current_->fail("shared memory of a block that the cluster does not have", site);
  const auto offset = static_cast<const unsigned char*>(shared) - current_->shared();
  if (offset < 0 || static_cast<size_t>(offset) + bytes > current_->shared_bytes()) {
    current_->fail("address outside of dynamic shared memory", site);
  }
  if (static_cast<size_t>(offset) % bytes != 0) current_->fail("misaligned access to another block", site);
  if (generation_ == 0) current_->fail("access to a block of the cluster that may not have started", site);
  if (blocks_[rank]->live() == 0) current_->fail("access to a block of the cluster that has ended", site);
  return blocks_[rank]->shared() + offset;
}

unsigned cluster_size() { return Cluster::here().size(); }
unsigned cluster_rank() { return Cluster::here().rank(); }
void cluster_arrive(const Site& site) { Cluster::here().arrive(site); }
void cluster_wait(const Site& site) { Cluster::here().wait(site); }
void* map_shared(const void* shared, size_t bytes, unsigned rank, const Site& site) {
  return Cluster::here().map(shared, bytes, rank, site);
}

}  // namespace cudasim
