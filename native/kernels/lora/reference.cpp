// Low-rank adapters by the formula.
#include <algorithm>

#include "kernels/reference.h"
#include "kernels/reference_real.h"

namespace selfrefine {

using reference::dot;
using reference::load;
using reference::store;

namespace {

/// The sum over rows n of column i of x and column j of y, rows of which are `ldx` and `ldy` long.
template <typename T>
double column_dot(const T* x, int64_t ldx, const T* y, int64_t ldy, int64_t rows) {
  double sum = 0;
  for (int64_t n = 0; n < rows; ++n) sum += load(x[n * ldx]) * load(y[n * ldy]);
  return sum;
}

void add(float& to, double value) { to = static_cast<float>(to + value); }

template <typename T>
void forward_row(const LoraForward& op, int64_t n) {
  const int64_t in = op.x.dim(1), o = op.weight.dim(0), r = op.b.dim(1), ranks = op.u.dim(1);
  const T* x = op.x.as<T>() + n * in;
  T* u = op.u.as<T>() + n * ranks;
  T* out = op.out.as<T>() + n * o;
  for (int64_t j = 0; j < ranks; ++j) u[j] = store<T>(op.scale * dot(x, op.a.as<T>() + j * in, in));
  std::vector<double> sums(static_cast<size_t>(o));
  for (int64_t j = 0; j < o; ++j) {
    double& sum = sums[static_cast<size_t>(j)];
    sum = dot(x, op.weight.as<T>() + j * in, in);
    if (op.bias) sum += load(op.bias.as<T>()[j]);
    if (op.residual) sum += load(op.residual.as<T>()[n * o + j]);
  }
  for_each_block(op.blocks, [&](int64_t p, int64_t begin, int64_t end, int64_t first) {
    for (int64_t j = begin; j < end; ++j) {
      sums[static_cast<size_t>(j)] += dot(u + p * r, op.b.as<T>() + (first + j - begin) * r, r);
    }
  });
  for (int64_t j = 0; j < o; ++j) out[j] = store<T>(sums[static_cast<size_t>(j)]);
}

}  // namespace

void ReferenceBackend::compute(const LoraForward& op) {
  visit_real(op.x.dtype, [&](auto zero) {
    for (int64_t n = 0; n < op.x.dim(0); ++n) forward_row<decltype(zero)>(op, n);
  });
}

void ReferenceBackend::compute(const LoraBackwardWeight& op) {
  const int64_t n = op.x.dim(0), in = op.x.dim(1), o = op.dout.dim(1), r = op.b.dim(1), ranks = op.u.dim(1);
  visit_real(op.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *dout = op.dout.as<T>(), *b = op.b.as<T>(), *u = op.u.as<T>();
    T* du = op.du.as<T>();
    for_each_block(op.blocks, [&](int64_t p, int64_t begin, int64_t end, int64_t first) {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < r; ++j) {
          du[i * ranks + p * r + j] =
              store<T>(op.scale * dot(dout + i * o + begin, b + first * r + j, end - begin, r));
        }
      }
      for (int64_t row = 0; row < end - begin; ++row) {
        for (int64_t j = 0; j < r; ++j) {
          add(op.db.as<float>()[(first + row) * r + j],
              column_dot(dout + begin + row, o, u + p * r + j, ranks, n));
        }
      }
    });
    for (int64_t j = 0; j < ranks; ++j) {
      for (int64_t i = 0; i < in; ++i) {
        add(op.da.as<float>()[j * in + i], column_dot<T>(du + j, ranks, op.x.as<T>() + i, in, n));
      }
    }
  });
}

void ReferenceBackend::compute(const LoraBackwardInput& op) {
  const int64_t n = op.dx.dim(0), in = op.dx.dim(1), o = op.weight.dim(0), ranks = op.a.dim(0);
  visit_real(op.dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < in; ++j) {
        const double sum = dot(op.dout.as<T>() + i * o, op.weight.as<T>() + j, o, in) +
                           dot(op.du.as<T>() + i * ranks, op.a.as<T>() + j, ranks, in);
        op.dx.as<T>()[i * in + j] = store<T>(sum);
      }
    }
  });
}

}  // namespace selfrefine
