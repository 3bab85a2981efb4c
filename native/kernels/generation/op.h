// The bookkeeping of a decode step, as an op, so that a step can follow on another without the host in between.
#pragma once

#include "core/tensor.h"

namespace selfrefine {

/// Takes the token that was drawn for each row: into the row's history, and as what the next step decodes. A row that
/// draws a stop token or its last token comes to rest: it has no token remaining and no slot in the cache, and else
/// stays as it is, however many steps follow. What a row becomes does not depend on the other rows.
///
///   p = positions[b] + 1                      the drawn token's position
///   history[b, p % W] = drawn[b]
///   remaining[b] -= 1, or 0 at a stop token
///   unless that leaves 0:  tokens[b] = drawn[b]; positions[b] = p; lengths[b] += 1; keys[b, 2] += 1;
///                          slots[b] = page_table[b, p / page_size] * page_size + p % page_size
struct AdvanceSamples {
  Tensor tokens;          // (B) i32 inout: what the next step decodes
  Tensor positions;       // (B) i32 inout: its position
  Tensor lengths;         // (B) i32 inout: positions + 1
  Tensor slots;           // (B) i32 inout: where its key and value go, -1 = nowhere
  Tensor keys;            // (B, 3) i32 inout: of SampleTokens
  Tensor remaining;       // (B) i32 inout: tokens the row may still draw; 0 = at rest
  Tensor history_tokens;  // (B, W) i32 inout
  Tensor history_logps;   // (B, W) f32 inout
  Tensor drawn_tokens;    // (B) i32
  Tensor drawn_logps;     // (B) f32
  Tensor page_table;      // (B, max_pages) i32
  Tensor stop_tokens;     // (S) i32; a negative one is none
  int64_t page_size = 0;

  void check() const;
  /// For backends whose memory is host memory. Throws ERR_INVALID_ARGUMENT naming the first row that would end outside
  /// of its page table.
  void check_values() const;
};

}  // namespace selfrefine
