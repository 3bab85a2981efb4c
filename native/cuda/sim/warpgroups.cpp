// Reads operands through descriptors and swizzle, multiplies, and keeps the books of what is under way.
#include "cuda/sim/warpgroups.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "cuda/sim/block.h"
#include "cuda/sim/collectives.h"
#include "cuda/sim/watched.h"

namespace cudasim {

namespace {

constexpr unsigned kChunk = 8, kRows = 16, kDepth = 16;  // elements of 16 bytes; of a warp; of one product

float widened(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

/// A descriptor of a matrix in shared memory, as the PTX manual lays it out.
struct Descriptor {
  uint32_t begin, leading, stride;
  bool swizzled_128;

  explicit Descriptor(uint64_t word)
      : begin(static_cast<uint32_t>(word & 0x3fff) << 4), leading(static_cast<uint32_t>(word >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(word >> 32 & 0x3fff) << 4),
        swizzled_128(word >> 62 == 1 && (word >> 49 & 7) == 0) {}

  /// Of the 16 bytes that hold 8 elements along the contiguous dimension, (mn, k) being the first.
  uint32_t chunk(unsigned mn, unsigned k, bool transposed) const {
    const uint32_t at = transposed ? begin + mn / 64 * leading + k / 8 * stride + k % 8 * 128 + mn % 64 * 2
                                   : begin + mn / 8 * stride + mn % 8 * 128 + k * 2;
    return at ^ (at >> 7 & 7u) << 4;
  }
};

/// The element of the sums (16, n) of a warp that is number i of a lane.
size_t place(unsigned lane, unsigned i, unsigned n) {
  const unsigned row = lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
  return size_t{row} * n + column;
}

/// What combine functions, which get no argument, are to do; set by each lane just before it arrives.
struct Request {
  const Wgmma* product;
  const Site* site;
  unsigned pending;
};
thread_local Request request;

unsigned current_warp() { return Block::here().running()->number / kWarp; }

}  // namespace

void Warpgroups::reset(unsigned threads, size_t shared_bytes) {
  const Unseen bookkeeping;
  threads_ = threads;
  shared_bytes_ = shared_bytes;
  if (!used_) return;
  used_ = false;
  for (Warp& warp : warps_) warp = {};
  for (auto& entries : issued_) entries.clear();
}

void Warpgroups::issue(unsigned number, const Wgmma& product, const Given* given, const Site& site) {
  const Unseen bookkeeping;
  Block& block = Block::here();
  Warp& warp = warps_[number];
  used_ = true;
  const bool divides = threads_ % 128 == 0 && product.n % 8 == 0 && product.n >= 8 && product.n <= kMostN;
  if (!divides) block.fail("wgmma of a shape or by a warpgroup that does not exist", site);
  if (warp.fenced != ~0u) block.fail("wgmma without a fence after its registers were written", site);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const bool same_a = product.a_in_registers || given[lane].descriptor == product.a;
    if (given[lane].b != product.b || !same_a) block.fail("wgmma whose lanes give different descriptors", site);
  }
  const Entry entry{product.b, product.n, site.line()};
  std::vector<Entry>& entries = issued_[number / 4];
  if (warp.issued == entries.size()) entries.push_back(entry);
  if (entries[warp.issued] != entry) block.fail("wgmma that the warps of a warpgroup do not issue alike", site);
  ++warp.issued;
  Product& pending = warp.pending.emplace_back();
  pending.what = product;
  pending.site = site;
  pending.group = warp.group;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    for (unsigned i = 0; i < 4; ++i) pending.registers[lane][i] = given[lane].registers[i];
  }
  pending.sums = take_sums(warp, product.n, given, site);
  ++pending.sums->users;
}

/// The sums that a product adds to: those of one under way, or the lanes' own, which are NaN from here on.
std::shared_ptr<Warpgroups::Sums> Warpgroups::take_sums(Warp& warp, unsigned n, const Given* given, const Site& site) {
  for (const Product& other : warp.pending) {
    if (!other.sums || other.sums->lanes[0] != given[0].d) continue;
    if (other.what.n != n) Block::here().fail("wgmma adds to sums of another shape that are under way", site);
    return other.sums;
  }
  auto sums = std::make_shared<Sums>();
  sums->values.resize(size_t{kRows} * n);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    sums->lanes[lane] = given[lane].d;
    for (unsigned i = 0; i < n / 2; ++i) {
      sums->values[place(lane, i, n)] = given[lane].d[i];
      given[lane].d[i] = NAN;
    }
  }
  return sums;
}

void Warpgroups::wait(unsigned number, unsigned pending) {
  Warp& warp = warps_[number];
  size_t done = 0;
  while (done < warp.pending.size() && warp.pending[done].group + pending < warp.group) {
    compute(number, warp.pending[done++]);
  }
  const Unseen bookkeeping;
  for (size_t i = 0; i < done; ++i) {
    Sums& sums = *warp.pending[i].sums;
    if (--sums.users > 0) continue;
    const unsigned n = warp.pending[i].what.n;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      for (unsigned e = 0; e < n / 2; ++e) sums.lanes[lane][e] = sums.values[place(lane, e, n)];
    }
  }
  warp.pending.erase(warp.pending.begin(), warp.pending.begin() + static_cast<std::ptrdiff_t>(done));
  warp.fenced = 0;
}

void Warpgroups::read_chunk(uint16_t* to, uint32_t address, const Site& site) const {
  if (address + 16 > shared_bytes_) Block::here().fail("wgmma reads outside of shared memory", site);
  watch_read(Block::here().shared() + address, 16);
  std::memcpy(to, Block::here().shared() + address, 16);
}

void Warpgroups::read_a(float (&a)[16][16], unsigned warp, const Product& product) const {
  if (product.what.a_in_registers) {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      for (unsigned i = 0; i < 4; ++i) {
        const uint32_t pair = product.registers[lane][i];
        float* at = a[lane / 4 + i % 2 * 8] + lane % 4 * 2 + i / 2 * 8;
        at[0] = widened(pair & 0xffffu);
        at[1] = widened(pair >> 16);
      }
    }
    return;
  }
  const Descriptor from(product.what.a);
  if (!from.swizzled_128) Block::here().fail("wgmma operand without 128-byte swizzle is not emulated", product.site);
  const unsigned first = warp % 4 * kRows;
  uint16_t chunk[kChunk];
  for (unsigned outer = 0; outer < 16; ++outer) {
    for (unsigned inner = 0; inner < 16; inner += kChunk) {
      if (product.what.a_transposed) {
        read_chunk(chunk, from.chunk(first + inner, outer, true), product.site);
        for (unsigned e = 0; e < kChunk; ++e) a[inner + e][outer] = widened(chunk[e]);
      } else {
        read_chunk(chunk, from.chunk(first + outer, inner, false), product.site);
        for (unsigned e = 0; e < kChunk; ++e) a[outer][inner + e] = widened(chunk[e]);
      }
    }
  }
}

void Warpgroups::read_b(float (&b)[16][kMostN], const Product& product) const {
  const Descriptor from(product.what.b);
  if (!from.swizzled_128) Block::here().fail("wgmma operand without 128-byte swizzle is not emulated", product.site);
  uint16_t chunk[kChunk];
  if (product.what.b_transposed) {
    for (unsigned k = 0; k < kDepth; ++k) {
      for (unsigned n = 0; n < product.what.n; n += kChunk) {
        read_chunk(chunk, from.chunk(n, k, true), product.site);
        for (unsigned e = 0; e < kChunk; ++e) b[k][n + e] = widened(chunk[e]);
      }
    }
    return;
  }
  for (unsigned n = 0; n < product.what.n; ++n) {
    for (unsigned k = 0; k < kDepth; k += kChunk) {
      read_chunk(chunk, from.chunk(n, k, false), product.site);
      for (unsigned e = 0; e < kChunk; ++e) b[k + e][n] = widened(chunk[e]);
    }
  }
}

/// Each product is added to the sums by itself, unlike mma_m16n8k16's, which are summed first: the hardware promises no
/// equal rounding either, and tests can tell by the bits which of the two computed.
void Warpgroups::compute(unsigned warp, const Product& product) const {
  const unsigned n = product.what.n;
  float a[16][16], b[16][kMostN];
  read_a(a, warp, product);
  read_b(b, product);
  for (unsigned row = 0; row < kRows; ++row) {
    float* const to = product.sums->values.data() + size_t{row} * n;
    if (!product.what.accumulate) std::fill(to, to + n, 0.0f);
    for (unsigned k = 0; k < kDepth; ++k) {
      for (unsigned column = 0; column < n; ++column) to[column] += a[row][k] * b[k][column];
    }
  }
}

std::string Warpgroups::unfinished() const {
  for (unsigned warp = 0; warp * kWarp < threads_; ++warp) {
    if (!warps_[warp].pending.empty()) return "a block ended before it waited for its wgmma";
    if (warps_[warp].issued != issued_[warp / 4].size()) return "not all warps of a warpgroup issued its wgmma";
  }
  return "";
}

void wgmma(const Wgmma& product, float* d, const uint32_t* a, const Site& site) {
  Warpgroups::Given own{};
  own.d = d;
  own.b = product.b;
  if (a != nullptr) std::copy(a, a + 4, own.registers);
  else own.descriptor = product.a;
  static_assert(sizeof own <= Collective::kBytesPerLane);
  request = {&product, &site, 0};
  collective(~0u, &own, sizeof own, site, [](const unsigned char* given, unsigned char*) {
    Block::here().warpgroups().issue(current_warp(), *request.product,
                                     reinterpret_cast<const Warpgroups::Given*>(given), *request.site);
  });
}

void wgmma_fence() {
  Block& block = Block::here();
  block.warpgroups().fence(current_warp(), block.running()->lane());
}

void wgmma_commit(const Site& site) {
  const unsigned char nothing = 0;
  collective(~0u, &nothing, sizeof nothing, site,
             [](const unsigned char*, unsigned char*) { Block::here().warpgroups().commit(current_warp()); });
}

void wgmma_wait(unsigned pending, const Site& site) {
  const unsigned char nothing = 0;
  request = {nullptr, nullptr, pending};
  // The lanes leave only after the last one has computed: what it read, they may let others overwrite.
  const auto finish = [](const unsigned char*, unsigned char* result) {
    Block::here().warpgroups().wait(current_warp(), request.pending);
    release(result);
  };
  const Exchanged all = collective(~0u, &nothing, sizeof nothing, site, finish);
  acquire(const_cast<unsigned char*>(all.result));
}

}  // namespace cudasim
