// Checks of the adapter ops.
#include "kernels/lora/op.h"

#include "kernels/check.h"

namespace selfrefine {

namespace {

/// Rows of b. Throws unless the blocks lie one after the other in [0, o).
int64_t check_blocks(const char* op, const std::vector<int64_t>& blocks, int64_t o) {
  expect_that(op, !blocks.empty() && blocks.size() % 2 == 0, "blocks must be begin and end of one adapter or more");
  int64_t end = 0, rows = 0;
  for (size_t i = 0; i < blocks.size(); i += 2) {
    expect_that(op, blocks[i] >= end && blocks[i + 1] > blocks[i], "blocks must increase and not be empty");
    end = blocks[i + 1];
    rows += end - blocks[i];
  }
  expect_that(op, end <= o, "blocks must end within the rows of the output");
  return rows;
}

int64_t adapters(const std::vector<int64_t>& blocks) { return static_cast<int64_t>(blocks.size() / 2); }

}  // namespace

void LoraForward::check() const {
  const char* op = "lora_forward";
  expect_real(op, "x", x, 2);
  expect_real(op, "weight", weight, 2);
  const int64_t n = x.dim(0), i = x.dim(1), o = weight.dim(0);
  expect(op, "weight", weight, {o, i}, x.dtype);
  expect(op, "out", out, {n, o}, x.dtype);
  expect_optional(op, "bias", bias, {o}, x.dtype);
  expect_optional(op, "residual", residual, {n, o}, x.dtype);
  expect_that(op, residual.data != out.data || !residual || n == 0, "residual must not be the memory of out");
  expect_real(op, "b", b, 2);
  expect(op, "b", b, {check_blocks(op, blocks, o), b.dim(1)}, x.dtype);
  const int64_t ranks = adapters(blocks) * b.dim(1);
  expect(op, "a", a, {ranks, i}, x.dtype);
  expect(op, "u", u, {n, ranks}, x.dtype);
}

void LoraBackwardWeight::check() const {
  const char* op = "lora_backward_weight";
  expect_real(op, "dout", dout, 2);
  expect_real(op, "x", x, 2);
  const int64_t n = dout.dim(0);
  expect(op, "x", x, {n, x.dim(1)}, dout.dtype);
  expect_real(op, "b", b, 2);
  const int64_t rows = check_blocks(op, blocks, dout.dim(1)), ranks = adapters(blocks) * b.dim(1);
  expect(op, "b", b, {rows, b.dim(1)}, dout.dtype);
  expect(op, "u", u, {n, ranks}, dout.dtype);
  expect(op, "du", du, {n, ranks}, dout.dtype);
  expect(op, "da", da, {ranks, x.dim(1)}, DType::f32);
  expect(op, "db", db, {rows, b.dim(1)}, DType::f32);
}

void LoraBackwardInput::check() const {
  const char* op = "lora_backward_input";
  expect_real(op, "dout", dout, 2);
  expect_real(op, "weight", weight, 2);
  expect_real(op, "a", a, 2);
  const int64_t n = dout.dim(0), i = weight.dim(1), ranks = a.dim(0);
  expect(op, "weight", weight, {dout.dim(1), i}, dout.dtype);
  expect(op, "a", a, {ranks, i}, dout.dtype);
  expect(op, "du", du, {n, ranks}, dout.dtype);
  expect(op, "dx", dx, {n, i}, dout.dtype);
}

}  // namespace selfrefine
