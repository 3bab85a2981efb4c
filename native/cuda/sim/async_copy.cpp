// The copies a thread has started, and their landing. memcpy and memset are what ThreadSanitizer watches here: it sees
// both writes to the destination.
#include "cuda/sim/async_copy.h"

#include <cstring>

#include "cuda/sim/block.h"

namespace cudasim {

namespace {

bool aligned(const void* address, unsigned bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

void land(const PendingCopy& copy) {
  if (copy.valid > 0) std::memcpy(copy.to, copy.from, copy.valid);
  if (copy.valid < copy.bytes) std::memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

}  // namespace

void cp_async(void* to, const void* from, unsigned bytes, unsigned valid, const Site& site) {
  Block& block = Block::here();
  if (!aligned(to, bytes) || (valid > 0 && !aligned(from, bytes))) block.fail("misaligned cp.async", site);
  std::memset(to, 0xff, bytes);
  Thread& thread = *block.running();
  thread.copies.push_back({to, from, bytes, valid, thread.copy_group});
}

void cp_async_commit() { ++Block::here().running()->copy_group; }

void cp_async_wait(unsigned pending) {
  Thread& thread = *Block::here().running();
  size_t kept = 0;
  for (const PendingCopy& copy : thread.copies) {
    if (copy.group + pending < thread.copy_group) {
      land(copy);
    } else {
      thread.copies[kept++] = copy;
    }
  }
  thread.copies.resize(kept);
}

}  // namespace cudasim
