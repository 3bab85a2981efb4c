// RMSNorm of one vector at a time; a hidden row and a head of a fused row are both just a vector here.
#pragma once

#include "cpu/view.h"
#include "kernels/rmsnorm/cpu_kernels.h"

SELFREFINE_ISA_BEGIN
namespace rmsnorm {

template <typename T>
SELFREFINE_INLINE float normalize(T* out, const T* x, const T* weight, int64_t size, float eps) {
  Vec squares = zero();
  for_lanes(size, [&](int64_t i, int lanes) {
    const Vec value = load_n(x + i, lanes);
    squares = fma(value, value, squares);
  });
  const float rstd = 1.0f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(size) + eps);
  for_lanes(size, [&](int64_t i, int lanes) {
    store_n(out + i, load_n(x + i, lanes) * broadcast(rstd) * load_n(weight + i, lanes), lanes);
  });
  return rstd;
}

/// dx = dresidual + rstd (dout w - xhat mean(dout w xhat)), dweight += dout xhat, with xhat = x rstd.
template <typename T>
SELFREFINE_INLINE void backward_vector(T* dx, float* dweight, const T* dout, const T* dresidual, const T* x,
                                       const T* weight, float rstd, int64_t size) {
  Vec dot = zero();
  for_lanes(size, [&](int64_t i, int lanes) {
    const Vec xhat = load_n(x + i, lanes) * broadcast(rstd);
    const Vec d = load_n(dout + i, lanes);
    dot = fma(d * load_n(weight + i, lanes), xhat, dot);
    store_n(dweight + i, fma(d, xhat, load_n(dweight + i, lanes)), lanes);
  });
  const Vec mean = broadcast(reduce_add(dot) / static_cast<float>(size));
  for_lanes(size, [&](int64_t i, int lanes) {
    const Vec xhat = load_n(x + i, lanes) * broadcast(rstd);
    Vec d = (load_n(dout + i, lanes) * load_n(weight + i, lanes) - xhat * mean) * broadcast(rstd);
    if (dresidual) d += load_n(dresidual + i, lanes);
    store_n(dx + i, d, lanes);
  });
}

void forward(const RmsNormForward& op, int64_t begin, int64_t end) {
  by_type(op.x, [&](auto type) {
    using T = decltype(type);
    const int64_t c = dim(op.x, 1);
    for (int64_t n = begin; n < end; ++n) {
      data<float>(op.rstd)[n] =
          normalize(data<T>(op.out) + n * c, data<T>(op.x) + n * c, data<T>(op.weight), c, op.eps);
    }
  });
}

void backward(const RmsNormBackward& op, int64_t begin, int64_t end, float* dweight) {
  by_type(op.x, [&](auto type) {
    using T = decltype(type);
    const int64_t c = dim(op.x, 1);
    memset(dweight, 0, static_cast<size_t>(c) * sizeof(float));
    for (int64_t n = begin; n < end; ++n) {
      const T* dresidual = given(op.dresidual) ? data<T>(op.dresidual) + n * c : nullptr;
      backward_vector(data<T>(op.dx) + n * c, dweight, data<T>(op.dout) + n * c, dresidual, data<T>(op.x) + n * c,
                      data<T>(op.weight), data<float>(op.rstd)[n], c);
    }
  });
}

void head_forward(const HeadNormForward& op, int64_t begin, int64_t end) {
  by_type(op.x, [&](auto type) {
    using T = decltype(type);
    const int64_t d = dim(op.x, 2), normed = op.num_heads + op.num_kv_heads, heads = normed + op.num_kv_heads;
    for (int64_t n = begin; n < end; ++n) {
      const T* x = data<T>(op.x) + n * heads * d;
      T* out = data<T>(op.out) + n * heads * d;
      for (int64_t h = 0; h < normed; ++h) {
        const T* weight = data<T>(h < op.num_heads ? op.q_weight : op.k_weight);
        data<float>(op.rstd)[n * normed + h] = normalize(out + h * d, x + h * d, weight, d, op.eps);
      }
      memcpy(out + normed * d, x + normed * d, static_cast<size_t>(op.num_kv_heads * d) * sizeof(T));
    }
  });
}

void head_backward(const HeadNormBackward& op, int64_t begin, int64_t end, float* dweights) {
  by_type(op.x, [&](auto type) {
    using T = decltype(type);
    const int64_t d = dim(op.x, 2), normed = op.num_heads + op.num_kv_heads, heads = normed + op.num_kv_heads;
    memset(dweights, 0, static_cast<size_t>(2 * d) * sizeof(float));
    for (int64_t n = begin; n < end; ++n) {
      const T* x = data<T>(op.x) + n * heads * d;
      const T* dout = data<T>(op.dout) + n * heads * d;
      T* dx = data<T>(op.dx) + n * heads * d;
      for (int64_t h = 0; h < normed; ++h) {
        const bool is_query = h < op.num_heads;
        backward_vector(dx + h * d, is_query ? dweights : dweights + d, dout + h * d, static_cast<const T*>(nullptr),
                        x + h * d, data<T>(is_query ? op.q_weight : op.k_weight),
                        data<float>(op.rstd)[n * normed + h], d);
      }
      memmove(dx + normed * d, dout + normed * d, static_cast<size_t>(op.num_kv_heads * d) * sizeof(T));
    }
  });
}

constexpr RmsNormKernels table{forward, backward, head_forward, head_backward};

}  // namespace rmsnorm
SELFREFINE_ISA_END
