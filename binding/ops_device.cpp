// The limits of a device for bench/, measured through its backend: the rate of a large product, which on a GPU is
// NVIDIA's library's where it is there, and of copies within its memory. Numbers are random: the power that a product
// draws, and with it the clock, depends on them.
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "backend.h"
#include "core/philox.h"
#include "guarded.h"
#include "ops.h"

namespace selfrefine {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class DeviceMeter {
 public:
  explicit DeviceMeter(const std::string& name) : backend_(make_backend({.name = name})) {}

  /// Floating-point operations a second of (size, size) products, kept up for about `seconds`.
  double gemm_flops(DType dtype, int64_t size, double seconds) {
    const Product& product = product_of(dtype, size);
    const MatmulForward op{.out = product.out, .x = product.x, .weight = product.weight, .bias = {}, .residual = {}};
    backend_->run(op);
    backend_->synchronize();
    const auto start = Clock::now();
    constexpr int kBurst = 8;
    int64_t runs = 0;
    do {
      for (int i = 0; i < kBurst; ++i) backend_->run(op);
      backend_->synchronize();
      runs += kBurst;
    } while (seconds_since(start) < seconds);
    const auto n = static_cast<double>(size);
    return 2 * n * n * n * static_cast<double>(runs) / seconds_since(start);
  }

  /// Bytes read plus bytes written a second of a copy of `bytes`, the best of a few.
  double copy_bandwidth(int64_t bytes) {
    const auto size = static_cast<size_t>(bytes);
    const std::shared_ptr<void> from = backend_->allocate("bench", size), to = backend_->allocate("bench", size);
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const auto start = Clock::now();
      backend_->copy(to.get(), from.get(), size);
      best = std::max(best, 2 * static_cast<double>(bytes) / seconds_since(start));
    }
    return best;
  }

  std::string description() const { return backend_->description(); }

 private:
  struct Product {
    Tensor x, weight, out;
    std::vector<std::shared_ptr<void>> memory;
  };

  Tensor random_matrix(Product& product, DType dtype, int64_t size) {
    const int64_t elements = size * size;
    std::vector<uint32_t> words(static_cast<size_t>((elements * size_of(dtype) + 3) / 4 + 3));
    for (size_t i = 0; i < words.size() / 4; ++i) {
      const PhiloxBlock block = philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, {7, 7});
      // Exponents around that of 1/2, random signs and mantissas: of one float, or of two bfloat16.
      for (size_t j = 0; j < 4; ++j) {
        words[4 * i + j] = dtype == DType::bf16 ? (block[j] & 0x807f807fu) | 0x3f003f00u
                                                : (block[j] & 0x807fffffu) | 0x3f000000u;
      }
    }
    const auto bytes = static_cast<size_t>(elements * size_of(dtype));
    product.memory.push_back(backend_->allocate("bench", bytes));
    backend_->copy(product.memory.back().get(), words.data(), bytes);
    return Tensor(product.memory.back().get(), dtype, {size, size});
  }

  const Product& product_of(DType dtype, int64_t size) {
    Product& product = products_[{dtype, size}];
    if (!product.out) {
      product.x = random_matrix(product, dtype, size);
      product.weight = random_matrix(product, dtype, size);
      product.out = random_matrix(product, dtype, size);
    }
    return product;
  }

  std::unique_ptr<Backend> backend_;
  std::map<std::pair<DType, int64_t>, Product> products_;
};

double positive(const char* field, const Napi::Value& value) {
  const double number = value.IsNumber() ? value.ToNumber().DoubleValue() : 0;
  if (!(number > 0)) fail(ErrorCode::invalid_argument, "deviceMeter: ", field, " is not a positive number");
  return number;
}

template <typename F>
void add_rate(Napi::Object& object, const char* name, F&& f) {
  object.Set(name, Napi::Function::New(object.Env(), [f](const Napi::CallbackInfo& info) -> Napi::Value {
    return guarded(info.Env(), [&]() -> Napi::Value { return Napi::Number::New(info.Env(), f(info)); });
  }, name));
}

}  // namespace

Napi::Value make_device_meter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto meter = std::make_shared<DeviceMeter>(info[0].ToString());
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("description", meter->description());
    add_rate(object, "gemmFlops", [meter](const Napi::CallbackInfo& call) {
      const std::string dtype = call[0].ToString();
      return meter->gemm_flops(dtype == name_of(DType::bf16) ? DType::bf16 : DType::f32,
                               static_cast<int64_t>(positive("size", call[1])), positive("seconds", call[2]));
    });
    add_rate(object, "copyBandwidth", [meter](const Napi::CallbackInfo& call) {
      return meter->copy_bandwidth(static_cast<int64_t>(positive("bytes", call[0])));
    });
    return object;
  });
}

}  // namespace selfrefine
