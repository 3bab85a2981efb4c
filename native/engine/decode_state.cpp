// Filling, advancing and reading the rows of decode steps.
#include "engine/decode_state.h"

#include <algorithm>

namespace selfrefine {

namespace {

Arena build_rows(const std::shared_ptr<Backend>& backend, Reach reach, int64_t b, int64_t max_pages, DecodeRows& rows) {
  return build_arena(backend, "decode batch", reach, [&](Layout& layout) {
    for (Tensor* t : {&rows.tokens, &rows.positions, &rows.lengths, &rows.slots, &rows.remaining}) {
      *t = layout.take(DType::i32, {b});
    }
    rows.keys = layout.take(DType::i32, {b, 3});
    rows.page_table = layout.take(DType::i32, {b, max_pages});
    rows.stop_tokens = layout.take(DType::i32, {DecodeState::kMostStops});
  });
}

Arena build_drawn(const std::shared_ptr<Backend>& backend, Reach reach, int64_t b, int64_t window, DrawnRows& drawn) {
  return build_arena(backend, "decode batch", reach, [&](Layout& layout) {
    drawn.tokens = layout.take(DType::i32, {b});
    drawn.logps = layout.take(DType::f32, {b});
    drawn.history_tokens = layout.take(DType::i32, {b, window});
    drawn.history_logps = layout.take(DType::f32, {b, window});
  });
}

}  // namespace

DecodeState::DecodeState(const std::shared_ptr<Backend>& backend, const ScheduleLimits& limits, int64_t max_pages,
                         int64_t window)
    : backend_(backend), page_size_(limits.page_size), max_pages_(max_pages), window_(window) {
  const int64_t b = limits.max_batch;
  rows_arena_ = build_rows(backend, Reach::ops, b, max_pages, rows_);
  drawn_arena_ = build_drawn(backend, Reach::ops, b, window, drawn_);
  if (backend->host_memory()) {
    host_rows_ = rows_;
    host_drawn_ = drawn_;
  } else {
    host_rows_arena_ = build_rows(backend, Reach::host, b, max_pages, host_rows_);
    host_drawn_arena_ = build_drawn(backend, Reach::host, b, window, host_drawn_);
  }
}

void DecodeState::set_stop_tokens(const std::vector<int64_t>& tokens) {
  int32_t* stops = host_rows_.stop_tokens.as<int32_t>();
  std::fill_n(stops, kMostStops, -1);
  const auto count = std::min(tokens.size(), static_cast<size_t>(kMostStops));
  std::transform(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count), stops,
                 [](int64_t token) { return static_cast<int32_t>(token); });
}

void DecodeState::fill(int64_t b, const ActiveSample& row, int64_t max_new_tokens) {
  host_rows_.tokens.as<int32_t>()[b] = row.last_token;
  host_rows_.positions.as<int32_t>()[b] = row.position;
  host_rows_.lengths.as<int32_t>()[b] = row.position + 1;
  const int64_t page = row.pages[static_cast<size_t>(row.position / page_size_)];
  host_rows_.slots.as<int32_t>()[b] = static_cast<int32_t>(page * page_size_ + row.position % page_size_);
  host_rows_.remaining.as<int32_t>()[b] = static_cast<int32_t>(max_new_tokens - std::ssize(row.tokens));
  const int32_t key[3] = {row.prompt, row.sample, row.position + 1};
  std::copy_n(key, 3, host_rows_.keys.as<int32_t>() + 3 * b);
  std::copy(row.pages.begin(), row.pages.end(), host_rows_.page_table.as<int32_t>() + b * max_pages_);
}

void DecodeState::fill_rest(int64_t b) {
  for (const Tensor* t : {&host_rows_.tokens, &host_rows_.positions, &host_rows_.lengths, &host_rows_.remaining}) {
    t->as<int32_t>()[b] = 0;
  }
  host_rows_.slots.as<int32_t>()[b] = -1;
}

void DecodeState::place(const std::vector<ActiveSample>& rows, int64_t padded, int64_t max_new_tokens) {
  const auto batch = static_cast<int64_t>(rows.size());
  for (int64_t b = 0; b < batch; ++b) fill(b, rows[static_cast<size_t>(b)], max_new_tokens);
  for (int64_t b = batch; b < padded; ++b) fill_rest(b);
  if (backend_->host_memory()) return;
  backend_->copy(rows_arena_.data(), host_rows_arena_.data(), static_cast<size_t>(rows_arena_.row().bytes));
}

void DecodeState::advance(int64_t padded) {
  const auto valid = [padded](const Tensor& tensor) { return tensor.rows(0, padded); };
  backend_->run(AdvanceSamples{.tokens = valid(rows_.tokens), .positions = valid(rows_.positions),
                               .lengths = valid(rows_.lengths), .slots = valid(rows_.slots), .keys = valid(rows_.keys),
                               .remaining = valid(rows_.remaining), .history_tokens = valid(drawn_.history_tokens),
                               .history_logps = valid(drawn_.history_logps), .drawn_tokens = valid(drawn_.tokens),
                               .drawn_logps = valid(drawn_.logps), .page_table = valid(rows_.page_table),
                               .stop_tokens = rows_.stop_tokens, .page_size = page_size_});
}

void DecodeState::fetch() {
  if (backend_->host_memory()) return backend_->synchronize();
  backend_->copy(host_drawn_arena_.data(), drawn_arena_.data(), static_cast<size_t>(drawn_arena_.row().bytes));
}

MemoryRow DecodeState::memory() const {
  MemoryRow sum = rows_arena_.row();
  for (const Arena* arena : {&host_rows_arena_, &drawn_arena_, &host_drawn_arena_}) sum.bytes += arena->row().bytes;
  return sum;
}

}  // namespace selfrefine
