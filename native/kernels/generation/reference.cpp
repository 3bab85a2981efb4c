// The bookkeeping of a decode step by its definition.
#include <algorithm>

#include "kernels/reference.h"

namespace selfrefine {

void ReferenceBackend::compute(const AdvanceSamples& op) {
  op.check_values();
  const int64_t window = op.history_tokens.dim(1), max_pages = op.page_table.dim(1);
  const int32_t* stops = op.stop_tokens.as<int32_t>();
  for (int64_t b = 0; b < op.tokens.dim(0); ++b) {
    int32_t& remaining = op.remaining.as<int32_t>()[b];
    if (remaining == 0) continue;
    const int32_t token = op.drawn_tokens.as<int32_t>()[b];
    const int64_t position = op.positions.as<int32_t>()[b] + 1;
    op.history_tokens.as<int32_t>()[b * window + position % window] = token;
    op.history_logps.as<float>()[b * window + position % window] = op.drawn_logps.as<float>()[b];
    const bool stops_here = std::find(stops, stops + op.stop_tokens.dim(0), token) != stops + op.stop_tokens.dim(0);
    remaining = stops_here ? 0 : remaining - 1;
    if (remaining == 0) {
      op.slots.as<int32_t>()[b] = -1;
      continue;
    }
    op.tokens.as<int32_t>()[b] = token;
    op.positions.as<int32_t>()[b] += 1;
    op.lengths.as<int32_t>()[b] += 1;
    op.keys.as<int32_t>()[3 * b + 2] += 1;
    const int64_t page = op.page_table.as<int32_t>()[b * max_pages + position / op.page_size];
    op.slots.as<int32_t>()[b] = static_cast<int32_t>(page * op.page_size + position % op.page_size);
  }
}

}  // namespace selfrefine
