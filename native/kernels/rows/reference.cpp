// Row selection by the formula.
#include "kernels/indices.h"
#include "kernels/reference.h"

namespace selfrefine {

void ReferenceBackend::compute(const GatherRows& op) {
  expect_increasing("gather_rows", "rows", op.rows, 0, op.x.dim(0));
  const int64_t m = op.out.dim(0), c = op.out.dim(1);
  const int32_t* rows = op.rows.as<int32_t>();
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < c; ++j) op.out.as<T>()[i * c + j] = op.x.as<T>()[rows[i] * c + j];
    }
  });
}

void ReferenceBackend::compute(const ScatterRows& op) {
  expect_increasing("scatter_rows", "rows", op.rows, 0, op.out.dim(0));
  const int64_t m = op.x.dim(0), c = op.x.dim(1);
  const int32_t* rows = op.rows.as<int32_t>();
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < op.out.elements(); ++i) op.out.as<T>()[i] = T{};
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < c; ++j) op.out.as<T>()[rows[i] * c + j] = op.x.as<T>()[i * c + j];
    }
  });
}

}  // namespace selfrefine
