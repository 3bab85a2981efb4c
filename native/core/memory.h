// Large blocks of host memory: mapped, zeroed, on huge pages where the system grants them, and refused with an error
// instead of an out-of-memory kill when the machine cannot hold them.
#pragma once

#include <cstddef>
#include <memory>

namespace selfrefine {

/// Throws ERR_OUT_OF_MEMORY naming the arena, the bytes wanted and the bytes free.
void* allocate_host(const char* arena, size_t bytes);
void release_host(void* memory, size_t bytes) noexcept;
/// The same memory, released with its last owner.
std::shared_ptr<void> share_host(const char* arena, size_t bytes);

/// Addresses of zeros without memory behind them, until something is written there: for counting without taking.
std::shared_ptr<void> reserve_addresses(const char* arena, size_t bytes);

/// Bytes this process may still take: the least of free system memory and the limits set on the process.
size_t available_host_bytes();

}  // namespace selfrefine
