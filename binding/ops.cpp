// One mechanism for all ops: a JavaScript object with the op's fields by name becomes the op's struct, and runs at once
// on the caller's thread. A tensor is {data: TypedArray, dtype: "float32" | "bfloat16" | ..., shape: [...]}; its memory
// is used in place, or staged where the backend computes elsewhere. bfloat16 travels as Uint16Array. A field that is
// left out keeps the struct's default.
#include "ops.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/philox.h"
#include "cpu/cpu_features.h"
#include "guarded.h"
#include "ops_fields.h"
#include "ops_staging.h"

namespace selfrefine {

namespace {

struct Place {
  std::string op, field;
  template <typename... Parts>
  [[noreturn]] void reject(Parts&&... parts) const {
    fail(ErrorCode::invalid_argument, op, ": ", field, " ", std::forward<Parts>(parts)...);
  }
};

DType read_dtype(const Place& place, const Napi::Value& value) {
  const std::string name = value.ToString();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::i32, DType::f64}) {
    if (name == name_of(dtype)) return dtype;
  }
  place.reject("has dtype \"", name, "\", expected float32, bfloat16, float16, int32 or float64");
}

double read_number(const Place& place, const Napi::Value& value) {
  if (!value.IsNumber()) place.reject("is not a number");
  return value.As<Napi::Number>().DoubleValue();
}

/// Integers up to 2^53 as numbers.
int64_t read_integer(const Place& place, const Napi::Value& value) {
  const double number = read_number(place, value);
  if (number != std::trunc(number) || std::fabs(number) > 0x1p53) place.reject("is ", number, ", expected an integer");
  return static_cast<int64_t>(number);
}

std::vector<int64_t> read_integers(const Place& place, const Napi::Value& value) {
  if (!value.IsArray()) place.reject("is not an array of integers");
  const Napi::Array list = value.As<Napi::Array>();
  std::vector<int64_t> numbers;
  for (uint32_t i = 0; i < list.Length(); ++i) numbers.push_back(read_integer(place, list[i]));
  return numbers;
}

void read(const Place& place, const Napi::Value& value, Tensor& out) {
  if (!value.IsObject()) place.reject("is not a tensor {data, dtype, shape}");
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Value data = object.Get("data");
  if (!data.IsTypedArray()) place.reject("has no typed array as data");
  const std::vector<int64_t> shape = read_integers(place, object.Get("shape"));
  if (shape.empty() || shape.size() > Tensor::kMaxRank) place.reject("has rank ", shape.size(), ", expected 1 to 4");
  const Napi::TypedArray array = data.As<Napi::TypedArray>();
  out = Tensor(static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset(),
               read_dtype(place, object.Get("dtype")), {1});
  out.rank = static_cast<int>(shape.size());
  double elements = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) place.reject("has a negative dimension");
    out.shape[i] = shape[i];
    elements *= static_cast<double>(shape[i]);
  }
  if (elements * static_cast<double>(size_of(out.dtype)) > static_cast<double>(array.ByteLength())) {
    place.reject("is ", out.describe(), ", but its data has only ", array.ByteLength(), " bytes");
  }
}

void read(const Place& place, const Napi::Value& value, bool& out) {
  if (!value.IsBoolean()) place.reject("is not a boolean");
  out = value.As<Napi::Boolean>();
}

void read(const Place& place, const Napi::Value& value, float& out) {
  out = static_cast<float>(read_number(place, value));
}
void read(const Place& place, const Napi::Value& value, double& out) { out = read_number(place, value); }
void read(const Place& place, const Napi::Value& value, int64_t& out) { out = read_integer(place, value); }

void read(const Place& place, const Napi::Value& value, int& out) {
  const int64_t number = read_integer(place, value);
  if (number != static_cast<int>(number)) place.reject("is ", number, ", expected a 32-bit integer");
  out = static_cast<int>(number);
}

void read(const Place& place, const Napi::Value& value, uint64_t& out) {
  if (!value.IsBigInt()) {
    out = static_cast<uint64_t>(read_integer(place, value));
    return;
  }
  bool lossless = false;
  out = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) place.reject("is not an unsigned 64-bit integer");
}

void read(const Place& place, const Napi::Value& value, PreferenceKind& out) {
  out = static_cast<PreferenceKind>(read_integer(place, value));
}

void read(const Place& place, const Napi::Value& value, std::vector<int64_t>& out) {
  out = read_integers(place, value);
}

void read(const Place& place, const Napi::Value& value, std::function<void(int64_t, int64_t)>& out) {
  if (!value.IsFunction()) place.reject("is not a function");
  out = [function = value.As<Napi::Function>()](int64_t begin, int64_t end) {
    function.Call({Napi::Number::New(function.Env(), static_cast<double>(begin)),
                   Napi::Number::New(function.Env(), static_cast<double>(end))});
  };
}

void stage_field(StagedTensors& staging, std::string_view field, const Napi::Value& value, Tensor& tensor) {
  Napi::ArrayBuffer buffer = value.As<Napi::Object>().Get("data").As<Napi::TypedArray>().ArrayBuffer();
  staging.add(field, tensor, buffer.Data(), buffer.ByteLength());
}
template <typename Other>
void stage_field(StagedTensors&, std::string_view, const Napi::Value&, Other&) {}

/// How an op is run.
struct Manner {
  bool resident = false;  // indices lie in the backend's own memory too
  int64_t timed = 0;      // so many runs more, whose mean time is the result
};

/// Runs the op; returns seconds of one of the timed runs, or 0.
template <typename Op>
double run_and_time(Backend& backend, const Op& op, int64_t timed) {
  using Clock = std::chrono::steady_clock;
  backend.run(op);
  if (timed == 0) return 0;
  backend.synchronize();
  const auto start = Clock::now();
  for (int64_t i = 0; i < timed; ++i) backend.run(op);
  backend.synchronize();
  return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(timed);
}

/// Runs an op whose tensors lie in JavaScript's memory on a backend that does not reach it.
template <typename Op>
double run_staged(Backend& backend, Op& op, StagedTensors& staging, int64_t timed) {
  op.check();
  staging.stage();
  if constexpr (requires { op.on_chunk; }) {
    if (op.on_chunk) {
      op.on_chunk = [&staging, given = op.on_chunk](int64_t begin, int64_t end) {
        staging.fetch(true);
        given(begin, end);
        staging.refresh();
      };
    }
  }
  double seconds = 0;
  try {
    seconds = run_and_time(backend, op, timed);
  } catch (...) {
    staging.fetch();
    throw;
  }
  staging.fetch();
  return seconds;
}

template <typename Op>
double run_op(Backend& backend, const char* name, const Napi::Object& fields, const Manner& manner) {
  Op op;
  StagedTensors staging(backend, manner.resident);
  std::vector<std::string> known;
  visit_fields(op, [&](std::string_view field, auto& member) {
    known.emplace_back(field);
    const Napi::Value value = fields.Get(known.back());
    if (value.IsUndefined()) return;
    read({name, known.back()}, value, member);
    if (!backend.host_memory()) stage_field(staging, field, value, member);
  });
  const Napi::Array given = fields.GetPropertyNames();
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const std::string field = given.Get(i).ToString();
    if (std::find(known.begin(), known.end(), field) == known.end()) Place{name, field}.reject("is not a field");
  }
  if (backend.host_memory()) return run_and_time(backend, op, manner.timed);
  return run_staged(backend, op, staging, manner.timed);
}

struct Entry {
  const char* name;
  double (*run)(Backend& backend, const char* name, const Napi::Object& fields, const Manner& manner);
};

constexpr Entry kOps[] = {
#define SELFREFINE_ENTRY(Op) {#Op, &run_op<Op>},
    SELFREFINE_OPS(SELFREFINE_ENTRY)
#undef SELFREFINE_ENTRY
};

double run_named(Backend& backend, const std::string& name, const Napi::Value& fields, const Manner& manner) {
  for (const Entry& entry : kOps) {
    if (name != entry.name) continue;
    if (!fields.IsObject()) Place{name, "fields"}.reject("is not an object");
    return entry.run(backend, entry.name, fields.As<Napi::Object>(), manner);
  }
  fail(ErrorCode::invalid_argument, "\"", name, "\" is not an op");
}

void freeze(Backend& backend, const Napi::Value& value) {
  if (!value.IsArray()) Place{"freeze", "weights"}.reject("is not an array of tensors");
  const Napi::Array list = value.As<Napi::Array>();
  std::vector<Tensor> weights(list.Length());
  for (uint32_t i = 0; i < list.Length(); ++i) read({"freeze", "weights"}, list[i], weights[i]);
  backend.freeze(weights);
}

template <typename F>
void add_method(Napi::Object& object, const char* name, F&& f) {
  object.Set(name, Napi::Function::New(
                       object.Env(),
                       [f](const Napi::CallbackInfo& info) { return guarded(info.Env(), [&] { return f(info); }); },
                       name));
}

/// Some choices of a backend are made from the environment, when it is made or runs an op: one is there for so long.
/// Empty: none.
class ForcedVariable {
 public:
  ForcedVariable(const char* variable, const std::string& value) : variable_(variable) {
    if (value.empty()) return;
    if (const char* before = std::getenv(variable_)) before_ = before;
    setenv(variable_, value.c_str(), 1);
    forced_ = true;
  }
  ForcedVariable(const ForcedVariable&) = delete;
  ForcedVariable& operator=(const ForcedVariable&) = delete;
  ~ForcedVariable() {
    if (forced_) before_.empty() ? unsetenv(variable_) : setenv(variable_, before_.c_str(), 1);
  }

 private:
  const char* variable_;
  std::string before_;
  bool forced_ = false;
};

/// { name, description, run(op, fields, resident), time(op, fields, runs), freeze(weights), thaw() }
Napi::Object create_backend(const Napi::CallbackInfo& info) {
  BackendOptions options;
  const Napi::Object given = info[0].ToObject();
  if (given.Has("name")) options.name = given.Get("name").ToString();
  if (given.Has("threads")) read({"backend", "threads"}, given.Get("threads"), options.threads);
  const auto text = [&](const char* name) -> std::string {
    return given.Get(name).IsUndefined() ? "" : given.Get(name).ToString().Utf8Value();
  };
  const ForcedVariable isa("SELFREFINE_CPU_ISA", text("isa"));
  const ForcedVariable cublaslt("SELFREFINE_CUBLASLT", text("cublaslt"));
  const ForcedVariable choices("SELFREFINE_CUBLASLT_CHOICES", text("cublasltChoices"));
  const std::string compute = text("compute");
  const ForcedVariable gpu("CUDASIM_COMPUTE", compute);
  const std::shared_ptr<Backend> backend = make_backend(options);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("name", backend->name());
  object.Set("description", backend->description());
  add_method(object, "run", [backend, compute](const Napi::CallbackInfo& call) {
    const ForcedVariable forced("CUDASIM_COMPUTE", compute);
    run_named(*backend, call[0].ToString(), call[1], {.resident = call[2].ToBoolean(), .timed = 0});
  });
  add_method(object, "time", [backend](const Napi::CallbackInfo& call) -> Napi::Value {
    const int64_t runs = std::max<int64_t>(1, read_integer({"time", "runs"}, call[2]));
    const double seconds = run_named(*backend, call[0].ToString(), call[1], {.resident = false, .timed = runs});
    return Napi::Number::New(call.Env(), seconds);
  });
  add_method(object, "freeze", [backend](const Napi::CallbackInfo& call) { freeze(*backend, call[0]); });
  add_method(object, "thaw", [backend](const Napi::CallbackInfo&) { backend->thaw(); });
  return object;
}

template <typename Names>
Napi::Array to_array(Napi::Env env, const Names& names) {
  Napi::Array array = Napi::Array::New(env);
  uint32_t i = 0;
  for (const auto& name : names) array.Set(i++, Napi::String::New(env, name));
  return array;
}

template <size_t kSize>
std::array<uint32_t, kSize> read_words(const char* field, const Napi::Value& value) {
  const std::vector<int64_t> numbers = read_integers({"philox", field}, value);
  if (numbers.size() != kSize) Place{"philox", field}.reject("has ", numbers.size(), " words, expected ", kSize);
  std::array<uint32_t, kSize> words{};
  for (size_t i = 0; i < kSize; ++i) words[i] = static_cast<uint32_t>(numbers[i]);
  return words;
}

Napi::Array philox(const Napi::CallbackInfo& info) {
  const PhiloxBlock block = philox4x32(read_words<4>("counter", info[0]), read_words<2>("key", info[1]));
  Napi::Array words = Napi::Array::New(info.Env());
  for (uint32_t i = 0; i < 4; ++i) words.Set(i, block[i]);
  return words;
}

}  // namespace

Napi::Object make_ops(Napi::Env env) {
  std::vector<std::string> names;
  for (const Entry& entry : kOps) names.emplace_back(entry.name);
  Napi::Object ops = Napi::Object::New(env);
  ops.Set("names", to_array(env, names));
  add_method(ops, "backends", [](const Napi::CallbackInfo& info) { return to_array(info.Env(), backend_names()); });
  add_method(ops, "cpuIsas", [](const Napi::CallbackInfo& info) {
    std::vector<std::string> isas;
    for (const Isa isa : supported_isas()) isas.emplace_back(isa_name(isa));
    return to_array(info.Env(), isas);
  });
  add_method(ops, "create", create_backend);
  add_method(ops, "philox", philox);
  ops.Set("deviceMeter", Napi::Function::New(env, make_device_meter, "deviceMeter"));
  ops.Set("peakMeter", Napi::Function::New(env, make_peak_meter, "peakMeter"));
  return ops;
}

}  // namespace selfrefine
