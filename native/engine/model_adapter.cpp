// What a model does with its adapters as a whole: fresh ones, on and off, and merging them into the weights.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/philox.h"
#include "engine/blocks.h"
#include "engine/model.h"

namespace selfrefine {

namespace {

/// Fills elements [first, first + n) with uniform(-bound, bound); element i depends on (seed, parameter, i) alone.
/// `first` is a multiple of 4. The last word of the counter keeps the numbers apart from those of the weights.
void fill_uniform(float* out, int64_t first, int64_t n, uint64_t seed, uint32_t parameter, double bound) {
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int64_t i = 0; i < n; i += 4) {
    const auto block = static_cast<uint64_t>((first + i) / 4);
    const PhiloxBlock bits =
        philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), parameter, 1}, key);
    for (int64_t j = i; j < std::min(i + 4, n); ++j) {
      out[j] = static_cast<float>((2 * double{uniform_open(bits[static_cast<size_t>(j - i)])} - 1) * bound);
    }
  }
}

void expect_adapter(const Adapter& adapter, const char* call) {
  if (!adapter) fail(ErrorCode::unsupported, call, ": the model has no adapter; make it with lora");
}

std::vector<float> host_copy(Backend& backend, const Tensor& floats) {
  std::vector<float> copy(static_cast<size_t>(floats.dim(0)));
  Blocks(backend).read(floats, [&](const float* block, int64_t first, int64_t n) {
    std::copy_n(block, n, copy.data() + first);
  });
  return copy;
}

}  // namespace

void Model::expect_trainable() const {
  if (merged_) {
    fail(ErrorCode::unsupported, "the adapter was merged into the weights; save the model and load it again to train "
         "it");
  }
  if (adapter_ && !adapter_.active) {
    fail(ErrorCode::unsupported, "the adapter is switched off; switch it on to train it");
  }
}

void Model::use_adapter(bool active) {
  expect_adapter(adapter_, "useAdapter");
  if (adapter_.active == active) return;
  adapter_.active = active;
  weights_changed();
}

void Model::initialize_adapter(uint64_t seed) {
  expect_adapter(adapter_, "initializeAdapter");
  uint32_t index = 0;
  Blocks blocks(*backend_);
  for (const Parameter& p : adapter_table_.all()) {
    const double bound = 1 / std::sqrt(static_cast<double>(p.columns));
    blocks.write(adapter_store_->exact_of(p), [&](float* out, int64_t first, int64_t n) {
      if (p.initialization == Initialization::kaiming_uniform) fill_uniform(out, first, n, seed, index, bound);
      else std::fill_n(out, n, 0.0f);
    });
    ++index;
  }
  adapter_store_->round();
  weights_changed();
}

void Model::merge() {
  expect_adapter(adapter_, "merge");
  if (merged_) fail(ErrorCode::unsupported, "merge: the adapter was merged before");
  for (size_t i = 0; i < adapter_.layers.size(); ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const LayerAdapter& adapter = adapter_.layers[i];
    merge_matrix(layer + "self_attn.qkv_proj", adapter.qkv);
    merge_matrix(layer + "self_attn.o_proj", adapter.o);
    merge_matrix(layer + "mlp.gate_up_proj", adapter.gate_up);
    merge_matrix(layer + "mlp.down_proj", adapter.down);
  }
  merged_ = true;
  sync();
}

/// W += scale B A for the blocks of one matrix; B becomes zero.
void Model::merge_matrix(const std::string& matrix, const LinearAdapter& adapter) {
  if (!adapter) return;
  const int64_t inputs = adapter.a.dim(1), r = adapter.b.dim(1);
  const Tensor a = exact_of(matrix + ".lora_A.weight").reshaped({adapter.a.dim(0), inputs});
  const Tensor b = exact_of(matrix + ".lora_B.weight"), weight = exact_of(matrix + ".weight");
  const std::vector<float> of_rows = host_copy(*backend_, b);
  for_each_block(adapter.blocks, [&](int64_t p, int64_t begin, int64_t end, int64_t first) {
    const int64_t rows = end - begin;
    const auto transposed = backend_->allocate_shared("merging", static_cast<size_t>(r * rows) * sizeof(float));
    const Tensor factor(transposed.get(), DType::f32, {r, rows});
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t j = 0; j < r; ++j) {
        factor.as<float>()[j * rows + row] = adapter_.scale * of_rows[static_cast<size_t>((first + row) * r + j)];
      }
    }
    const auto memory = backend_->allocate("merging", static_cast<size_t>(rows * inputs) * sizeof(float));
    const Tensor delta(memory.get(), DType::f32, {rows, inputs});
    backend_->run(MatmulBackwardWeight{.dweight = delta, .dbias = {}, .dout = factor, .x = a.rows(p * r, (p + 1) * r)});
    const std::vector<float> change = host_copy(*backend_, delta.reshaped({rows * inputs}));
    const Tensor part = weight.rows(begin * inputs, end * inputs);
    std::vector<float> sums = host_copy(*backend_, part);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += change[i];
    Blocks(*backend_).write(part, [&](float* out, int64_t at, int64_t n) { std::copy_n(sums.data() + at, n, out); });
  });
  backend_->zero(b.data, static_cast<size_t>(b.bytes()));
}

}  // namespace selfrefine
