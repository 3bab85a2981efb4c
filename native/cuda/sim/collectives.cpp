// Where lanes meet: the first opens a collective for its mask, the last wakes the others.
#include "cuda/sim/collectives.h"

#include <string>

#include "core/error.h"
#include "cuda/sim/block.h"

namespace cudasim {

namespace {

/// The collective of this mask, or a free one.
Collective& find(Block& block, Warp& warp, uint32_t mask, const Site& site) {
  for (Collective& collective : warp.collectives) {
    if (collective.mask == mask) return collective;
  }
  for (Collective& collective : warp.collectives) {
    if (collective.arrived != 0) continue;
    collective.mask = mask;
    return collective;
  }
  block.fail("a warp waits at more collectives at once than are simulated", site);
}

void check(Block& block, const Warp& warp, unsigned lane, uint32_t mask, const Site& site) {
  if ((mask >> lane & 1u) == 0) block.fail("warp collective called by a lane that is not in its mask", site);
  if ((mask & ~warp.live) != 0) {
    block.fail("warp collective whose mask names lanes that have ended or do not exist", site);
  }
}

/// Notes that a lane is here; true if it is the last.
bool arrive(Block& block, Collective& collective, unsigned lane, const Site& site) {
  if (collective.arrived == 0) {
    collective.site = site;
  } else if (!same_site(site, collective.site)) {
    block.fail(selfrefine::concat("divergent warp collective: another lane waits at line ", collective.site.line()),
               site);
  }
  collective.arrived |= 1u << lane;
  return collective.arrived == collective.mask;
}

}  // namespace

Exchanged collective(unsigned mask, const void* value, size_t bytes, const Site& site, Combine combine) {
  Block& block = Block::here();
  Thread& thread = *block.running();
  Warp& warp = block.warp_of(thread);
  check(block, warp, thread.lane(), mask, site);
  Collective& meeting = find(block, warp, mask, site);
  Collective::Data& data = meeting.data[meeting.generation & 1u];
  std::memcpy(data.given + thread.lane() * bytes, value, bytes);
  release(&data);
  if (!arrive(block, meeting, thread.lane(), site)) {
    block.wait(site);
  } else {
    if (combine != nullptr) combine(data.given, data.result);
    meeting.arrived = 0;
    ++meeting.generation;
    const uint32_t others = mask & ~(1u << thread.lane());
    if (others != 0) block.make_ready(thread.number / kWarp, others);
  }
  acquire(&data);
  return {data.given, data.result};
}

unsigned lane_id() { return Block::here().running()->lane(); }

unsigned ballot(unsigned mask, bool predicate, const Site& site) {
  const unsigned char own = predicate;
  const Exchanged all = collective(mask, &own, sizeof own, site);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (mask >> lane & 1u) votes |= static_cast<unsigned>(all.given[lane]) << lane;
  }
  return votes;
}

void sync_threads(const Site& site) { Block::here().sync_threads(site); }

void shuffle(unsigned mask, void* value, size_t bytes, unsigned source, const Site& site) {
  const Exchanged all = collective(mask, value, bytes, site);
  if ((mask >> source & 1u) == 0) Block::here().fail("shuffle reads a lane that is not in its mask", site);
  std::memcpy(value, all.given + source * bytes, bytes);
}

}  // namespace cudasim
