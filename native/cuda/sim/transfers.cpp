// Barriers in shared memory, and boxes on their way to it.
#include "cuda/sim/transfers.h"

#include <cstring>

#include "core/error.h"
#include "cuda/sim/block.h"
#include "cuda/sim/watched.h"

namespace cudasim {

namespace {

constexpr unsigned kMostArrivals = (1u << 20) - 1;
constexpr uint64_t kMark = 0x6261727269657200u;  // what an mbarrier's memory holds here, plus its offset
constexpr unsigned kLine = 128, kChunk = 16;

/// Where the 16-byte chunk of an address lies under the 128-byte swizzle.
uint32_t swizzled(uint32_t address) { return address ^ (address >> 7 & 7u) << 4; }

/// Copies one line of a box: 64 elements from column `x` of a row that may not exist.
void land_line(unsigned char* shared, uint32_t to, const TensorMap& map, const unsigned char* row, int x) {
  watch_write(shared + to, kLine);
  for (unsigned chunk = 0; chunk < kLine / kChunk; ++chunk) {
    unsigned char bytes[kChunk] = {};
    for (unsigned e = 0; e < kChunk / 2; ++e) {
      const int64_t column = int64_t{x} + chunk * (kChunk / 2) + e;
      if (row != nullptr && column >= 0 && column < static_cast<int64_t>(map.sizes[0])) {
        std::memcpy(bytes + 2 * e, row + 2 * column, 2);
      }
    }
    std::memcpy(shared + swizzled(to + chunk * kChunk), bytes, kChunk);
  }
}

}  // namespace

bool ThreadSet::empty() const {
  for (const uint32_t lanes : warps) {
    if (lanes != 0) return false;
  }
  return true;
}

void ThreadSet::wake(Block& block) {
  for (unsigned warp = 0; warp < warps.size(); ++warp) {
    if (warps[warp] != 0) block.make_ready(warp, warps[warp]);
    warps[warp] = 0;
  }
}

void Transfers::reset(size_t shared_bytes) {
  const Unseen bookkeeping;
  shared_bytes_ = shared_bytes;
  barriers_.clear();
  loads_.clear();
  named_ = {};
}

uint32_t Transfers::offset_of(const void* shared, size_t bytes, const Site& site) const {
  const unsigned char* const begin = Block::here().shared();
  const auto* at = static_cast<const unsigned char*>(shared);
  if (at < begin || at + bytes > begin + shared_bytes_) {
    Block::here().fail("address outside of dynamic shared memory", site);
  }
  return static_cast<uint32_t>(at - begin);
}

Transfers::Barrier& Transfers::find(uint64_t* barrier, const Site& site) {
  const uint32_t offset = offset_of(barrier, sizeof *barrier, site);
  const auto found = barriers_.find(offset);
  if (found == barriers_.end()) Block::here().fail("mbarrier that was not initialised", site);
  if (*barrier != kMark + offset) Block::here().fail("mbarrier whose memory was overwritten", site);
  return found->second;
}

void Transfers::init(uint64_t* barrier, unsigned arrivals, const Site& site) {
  const uint32_t offset = offset_of(barrier, sizeof *barrier, site);
  if (offset % sizeof *barrier != 0) Block::here().fail("misaligned mbarrier", site);
  if (arrivals < 1 || arrivals > kMostArrivals) Block::here().fail("mbarrier of no or too many arrivals", site);
  *barrier = kMark + offset;
  const Unseen bookkeeping;
  Barrier& state = barriers_[offset] = {};
  state.expected = state.missing = arrivals;
  release(&state);
}

void Transfers::publish() {
  for (auto& [offset, barrier] : barriers_) barrier.published = true;
}

void Transfers::settle(Barrier& barrier) {
  if (barrier.missing > 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1u;
  barrier.missing = barrier.expected;
  barrier.waiting.wake(Block::here());
}

void Transfers::arrive(uint64_t* at, unsigned bytes, const Site& site) {
  Barrier& barrier = find(at, site);
  if (barrier.missing == 0) Block::here().fail("more arrivals than the mbarrier counts", site);
  release(&barrier);
  barrier.bytes += bytes;
  --barrier.missing;
  settle(barrier);
}

void Transfers::wait(uint64_t* at, unsigned parity, const Site& site) {
  Block& block = Block::here();
  Barrier& barrier = find(at, site);
  land(barrier);
  while (barrier.phase == (parity & 1u)) {
    barrier.waiting.insert(block.running()->number);
    block.wait(site, "an mbarrier");
  }
  acquire(&barrier);
}

void Transfers::load(void* to, const TensorMap& map, uint64_t* at_barrier, const int* at, const Site& site) {
  Block& block = Block::here();
  Barrier& barrier = find(at_barrier, site);
  if (!barrier.published) block.fail("TMA with an mbarrier that no fence has made known to it", site);
  size_t lines = 1;
  for (unsigned i = 1; i < map.rank; ++i) lines *= map.box[i];
  const uint32_t offset = offset_of(to, lines * kLine, site);
  if (offset % (8 * kLine) != 0) block.fail("TMA with 128-byte swizzle to an address that 1024 does not divide", site);
  std::memset(to, 0xff, lines * kLine);
  {
    const Unseen bookkeeping;
    Load& load = loads_.emplace_back(Load{map, offset, &barrier, {}});
    std::copy(at, at + map.rank, load.at.begin());
  }
  release(&barrier);
  if (!barrier.waiting.empty()) land(barrier);
}

/// Lands all that is on its way to a barrier.
void Transfers::land(Barrier& barrier) {
  unsigned char* const shared = Block::here().shared();
  acquire(&barrier);
  size_t kept = 0;
  int64_t bytes = 0;
  for (const Load& load : loads_) {
    if (load.barrier != &barrier) {
      const Unseen bookkeeping;
      loads_[kept++] = load;
      continue;
    }
    const TensorMap& map = load.map;
    uint32_t to = load.to;
    uint32_t in_box[TensorMap::kMostRank] = {};
    for (bool more = true; more; to += kLine) {
      const unsigned char* row = map.base;
      for (unsigned i = 1; i < map.rank && row != nullptr; ++i) {
        const int64_t coordinate = int64_t{load.at[i]} + in_box[i];
        const bool exists = coordinate >= 0 && coordinate < static_cast<int64_t>(map.sizes[i]);
        row = exists ? row + static_cast<uint64_t>(coordinate) * map.strides[i] : nullptr;
      }
      land_line(shared, to, map, row, load.at[0]);
      bytes += kLine;
      more = false;
      for (unsigned i = 1; i < map.rank && !more; ++i) {
        more = ++in_box[i] < map.box[i];
        if (!more) in_box[i] = 0;
      }
    }
  }
  loads_.resize(kept);  // to fewer
  if (bytes == 0) return;
  release(&barrier);
  barrier.bytes -= bytes;
  settle(barrier);
}

void Transfers::meet(unsigned id, unsigned threads, bool waits, const Site& site) {
  Block& block = Block::here();
  if (id < 1 || id >= named_.size() || threads % kWarp != 0) block.fail("named barrier that does not exist", site);
  Named& barrier = named_[id];
  if (barrier.arrived > 0 && barrier.expected != threads) {
    block.fail("named barrier whose threads disagree how many they are", site);
  }
  barrier.expected = threads;
  release(&barrier);
  if (waits) barrier.waiting.insert(block.running()->number);
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    barrier.waiting.wake(Block::here());
  }
  if (!waits) return;
  block.wait(site, "a named barrier");
  acquire(&barrier);
}

std::string Transfers::unfinished() const {
  return loads_.empty() ? "" : selfrefine::concat("a block ended before ", loads_.size(), " copies by TMA were there");
}

const char* encode_tensor_map(TensorMap& map, const void* base, unsigned rank, const uint64_t* sizes,
                              const uint64_t* strides, const uint32_t* box) {
  if (rank < 1 || rank > TensorMap::kMostRank) return "rank";
  if (reinterpret_cast<uintptr_t>(base) % 16 != 0) return "an address that 16 does not divide";
  map = {static_cast<const unsigned char*>(base), rank, {}, {}, {}};
  map.strides[0] = 2;
  for (unsigned i = 0; i < rank; ++i) {
    if (sizes[i] < 1 || sizes[i] > uint64_t{1} << 32) return "size of a dimension";
    if (box[i] < 1 || box[i] > 256) return "size of the box";
    map.sizes[i] = sizes[i];
    map.box[i] = box[i];
    if (i == 0) continue;
    if (strides[i - 1] % 16 != 0 || strides[i - 1] >= uint64_t{1} << 40) return "stride that 16 does not divide";
    map.strides[i] = strides[i - 1];
  }
  if (box[0] * 2 != kLine) return "box that is not 128 bytes wide";  // narrower ones are not emulated
  return nullptr;
}

uint32_t shared_offset(const void* shared) {
  return static_cast<uint32_t>(static_cast<const unsigned char*>(shared) - Block::here().shared());
}

void mbarrier_init(uint64_t* barrier, unsigned arrivals, const Site& site) {
  Block::here().transfers().init(barrier, arrivals, site);
}
void mbarrier_fence_init() { Block::here().transfers().publish(); }
void mbarrier_arrive(uint64_t* barrier, unsigned bytes, const Site& site) {
  Block::here().transfers().arrive(barrier, bytes, site);
}
void mbarrier_wait(uint64_t* barrier, unsigned parity, const Site& site) {
  Block::here().transfers().wait(barrier, parity, site);
}
void tma_load(void* to, const TensorMap& map, uint64_t* barrier, const int* at, const Site& site) {
  Block::here().transfers().load(to, map, barrier, at, site);
}
void named_barrier(unsigned id, unsigned threads, bool waits, const Site& site) {
  Block::here().transfers().meet(id, threads, waits, site);
}

}  // namespace cudasim
