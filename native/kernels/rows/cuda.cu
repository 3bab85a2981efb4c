// Row selection on the GPU. Scattering is gathering by the inverse list, which the host makes: every row of the output
// is written once, with a row of x or with zeros.
#include <vector>

#include "cuda/copy_rows.cuh"
#include "cuda/cuda_backend.h"
#include "kernels/indices.h"

namespace selfrefine {

void CudaBackend::compute(const GatherRows& op) {
  expect_increasing("gather_rows", "rows", op.rows, 0, op.x.dim(0));
  const int64_t m = op.out.dim(0), row_bytes = op.out.dim(1) * size_of(op.out.dtype);
  cuda::copy_rows(op.out.data, op.x.data, upload(Table::rows, op.rows.as<int32_t>(), m), m, row_bytes, stream_);
  launched("gather_rows");
}

void CudaBackend::compute(const ScatterRows& op) {
  expect_increasing("scatter_rows", "rows", op.rows, 0, op.out.dim(0));
  const int64_t n = op.out.dim(0), m = op.x.dim(0), row_bytes = op.out.dim(1) * size_of(op.out.dtype);
  std::vector<int32_t> source(static_cast<size_t>(n), -1);
  for (int64_t i = 0; i < m; ++i) source[static_cast<size_t>(op.rows.as<int32_t>()[i])] = static_cast<int32_t>(i);
  cuda::copy_rows(op.out.data, op.x.data, upload(Table::row_sources, source.data(), n), n, row_bytes, stream_);
  launched("scatter_rows");
}

}  // namespace selfrefine
