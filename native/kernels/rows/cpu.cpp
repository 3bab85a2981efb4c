// Row selection on the CPU: copies of rows.
#include <algorithm>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

void CpuBackend::compute(const GatherRows& op) {
  expect_increasing("gather_rows", "rows", op.rows, 0, op.x.dim(0));
  const int64_t c = op.out.dim(1), bytes = c * size_of(op.out.dtype);
  const int32_t* rows = op.rows.as<int32_t>();
  parallel_rows(op.out.dim(0), c, [&](int64_t begin, int64_t end, int) {
    for (int64_t m = begin; m < end; ++m) {
      std::memcpy(op.out.as<char>() + m * bytes, op.x.as<char>() + rows[m] * bytes, static_cast<size_t>(bytes));
    }
  });
}

void CpuBackend::compute(const ScatterRows& op) {
  expect_increasing("scatter_rows", "rows", op.rows, 0, op.out.dim(0));
  const int64_t c = op.out.dim(1), bytes = c * size_of(op.out.dtype);
  const int32_t* first = op.rows.as<int32_t>();
  const int32_t* last = first + op.x.dim(0);
  parallel_rows(op.out.dim(0), c, [&](int64_t begin, int64_t end, int) {
    const int32_t* row = std::lower_bound(first, last, begin);
    for (int64_t n = begin; n < end; ++n) {
      char* out = op.out.as<char>() + n * bytes;
      if (row == last || *row != n) {
        std::memset(out, 0, static_cast<size_t>(bytes));
      } else {
        std::memcpy(out, op.x.as<char>() + (row - first) * bytes, static_cast<size_t>(bytes));
        ++row;
      }
    }
  });
}

}  // namespace selfrefine
