// The wording of index errors: "op: field[i] is got, expected wanted".
#include "kernels/indices.h"

namespace selfrefine {

namespace {

struct Segment {
  int32_t begin, end, prefix_begin, prefix_end;
};

/// `owner` is the last segment without a prefix: the only one that a segment here may share.
void expect_segment(const char* op, int64_t s, const Segment& segment, int64_t begin, int64_t rows,
                    const Segment& owner) {
  if (segment.begin != begin || segment.end <= segment.begin || segment.end > rows) {
    fail(ErrorCode::invalid_argument, op, ": segments[", s, "] is rows [", segment.begin, ", ", segment.end,
         "), expected to begin at ", begin, ", where the one before ends, and to end in (", begin, ", ", rows, "]");
  }
  if (segment.prefix_begin == 0 && segment.prefix_end == 0) return;
  if (segment.prefix_begin != owner.begin || segment.prefix_end != owner.end) {
    fail(ErrorCode::invalid_argument, op, ": segments[", s, "] has prefix [", segment.prefix_begin, ", ",
         segment.prefix_end, "), expected none (0, 0) or the last segment that has none itself, [", owner.begin, ", ",
         owner.end, ")");
  }
}

}  // namespace

void expect_in_range(const char* op, const char* field, const Tensor& indices, int64_t low, int64_t high) {
  const int32_t* values = indices.as<int32_t>();
  for (int64_t i = 0; i < indices.elements(); ++i) {
    if (values[i] < low || values[i] >= high) {
      fail(ErrorCode::invalid_argument, op, ": ", field, "[", i, "] is ", values[i], ", expected one of [", low, ", ",
           high, ")");
    }
  }
}

void expect_increasing(const char* op, const char* field, const Tensor& indices, int64_t low, int64_t high) {
  expect_in_range(op, field, indices, low, high);
  const int32_t* values = indices.as<int32_t>();
  for (int64_t i = 1; i < indices.elements(); ++i) {
    if (values[i] <= values[i - 1]) {
      fail(ErrorCode::invalid_argument, op, ": ", field, "[", i, "] is ", values[i], ", expected more than ",
           values[i - 1], ", the one before");
    }
  }
}

void expect_segments(const char* op, const Tensor& segments, int64_t rows) {
  const Segment* list = segments.as<Segment>();
  Segment owner{};
  int64_t covered = 0;
  for (int64_t s = 0; s < segments.dim(0); ++s) {
    expect_segment(op, s, list[s], covered, rows, owner);
    covered = list[s].end;
    if (list[s].prefix_end == 0) owner = list[s];
  }
  if (covered != rows) {
    fail(ErrorCode::invalid_argument, op, ": segments cover ", covered, " rows, expected all ", rows);
  }
}

void expect_pages(const char* op, const Tensor& page_table, const Tensor& lengths, int64_t pages, int64_t page_size) {
  const int64_t max_pages = page_table.dim(1);
  expect_in_range(op, "lengths", lengths, 0, max_pages * page_size + 1);
  for (int64_t b = 0; b < lengths.dim(0); ++b) {
    const int64_t used = (lengths.as<int32_t>()[b] + page_size - 1) / page_size;
    const int32_t* table = page_table.as<int32_t>() + b * max_pages;
    for (int64_t i = 0; i < used; ++i) {
      if (table[i] < 0 || table[i] >= pages) {
        fail(ErrorCode::invalid_argument, op, ": page_table[", b, ", ", i, "] is ", table[i],
             ", expected a page of the cache, one of [0, ", pages, ")");
      }
    }
  }
}

}  // namespace selfrefine
