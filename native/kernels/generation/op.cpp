// Checks of the bookkeeping op.
#include "kernels/generation/op.h"

#include "kernels/check.h"
#include "kernels/indices.h"

namespace selfrefine {

void AdvanceSamples::check() const {
  const char* op = "advance_samples";
  const int64_t b = tokens.dim(0), window = history_tokens.dim(1), max_pages = page_table.dim(1);
  for (const auto& [name, tensor] : {std::pair{"tokens", &tokens}, {"positions", &positions}, {"lengths", &lengths},
                                     {"slots", &slots}, {"remaining", &remaining}, {"drawn_tokens", &drawn_tokens}}) {
    expect(op, name, *tensor, {b}, DType::i32);
  }
  expect(op, "drawn_logps", drawn_logps, {b}, DType::f32);
  expect(op, "keys", keys, {b, 3}, DType::i32);
  expect(op, "history_tokens", history_tokens, {b, window}, DType::i32);
  expect(op, "history_logps", history_logps, {b, window}, DType::f32);
  expect(op, "page_table", page_table, {b, max_pages}, DType::i32);
  expect(op, "stop_tokens", stop_tokens, {stop_tokens.dim(0)}, DType::i32);
  expect_that(op, window > 0, "a history must hold at least one token");
  expect_that(op, page_size > 0, "page_size must be positive");
}

void AdvanceSamples::check_values() const {
  const int64_t room = page_table.dim(1) * page_size;
  for (int64_t b = 0; b < tokens.dim(0); ++b) {
    if (remaining.as<int32_t>()[b] == 0) continue;
    const int64_t most = remaining.as<int32_t>()[b] > 1 ? room - 1 : room;
    const Tensor position = positions.rows(b, b + 1);
    if (position.as<int32_t>()[0] < 0 || position.as<int32_t>()[0] >= most) {
      fail(ErrorCode::invalid_argument, "advance_samples: positions[", b, "] is ", position.as<int32_t>()[0],
           ", expected one of [0, ", most, "), where the page table has room for the next");
    }
  }
}

}  // namespace selfrefine
