// The reading of single values, and the objects that go back. The structs are in convert_structs.cpp.
#include "convert.h"

#include <cstring>

namespace selfrefine {

namespace {

std::string shown(const Napi::Value& value) {
  if (value.IsString()) return '"' + value.As<Napi::String>().Utf8Value() + '"';
  if (value.IsFunction()) return "a function";
  if (value.IsArray()) return "an array";
  if (value.IsSymbol()) return "a symbol";
  if (value.IsObject()) return "an object";
  return value.ToString().Utf8Value();
}

/// A fresh ArrayBuffer of JavaScript's own with these elements.
template <typename T>
Napi::ArrayBuffer copied(Napi::Env env, const std::vector<T>& values) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(buffer.Data(), values.data(), values.size() * sizeof(T));
  return buffer;
}

}  // namespace

void Argument::reject(const std::string& wanted) const {
  fail(ErrorCode::invalid_argument, name, " is ", shown(value), ", expected ", wanted);
}

double Argument::number() const {
  if (!value.IsNumber()) reject("a number");
  return value.As<Napi::Number>().DoubleValue();
}

int64_t Argument::integer(int64_t least, int64_t most) const {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number == std::trunc(number) && number >= static_cast<double>(least) && number <= static_cast<double>(most))) {
    const bool bounded = least != -kMaxSafeInteger || most != kMaxSafeInteger;
    reject(bounded ? concat("an integer from ", least, " to ", most) : std::string("an integer"));
  }
  return static_cast<int64_t>(number);
}

bool Argument::boolean() const {
  if (!value.IsBoolean()) reject("true or false");
  return value.As<Napi::Boolean>().Value();
}

std::string Argument::text() const {
  if (!value.IsString()) reject("a string");
  return value.As<Napi::String>().Utf8Value();
}

std::optional<Argument> Argument::optional() const {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  return *this;
}

Argument Argument::field(const char* field_name) const {
  if (!value.IsObject()) reject("an object");
  return {value.As<Napi::Object>().Get(field_name), name + "." + field_name};
}

std::vector<Argument> Argument::list() const {
  if (!value.IsArray()) reject("an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<Argument> items;
  for (uint32_t i = 0; i < array.Length(); ++i) items.push_back({array.Get(i), name + "[" + std::to_string(i) + "]"});
  return items;
}

uint64_t Argument::seed() const {
  if (!value.IsBigInt()) return static_cast<uint64_t>(integer(0));
  bool lossless = false;
  const uint64_t seed = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) reject("an unsigned integer of 64 bits");
  return seed;
}

std::string Argument::bytes() const {
  const bool fits = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!fits) reject("a Uint8Array");
  const auto array = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(array.Data()), array.ElementLength()};
}

std::vector<int32_t> Argument::int32s() const {
  const bool fits = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array;
  if (!fits) reject("an Int32Array");
  const auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

Napi::Value to_js(Napi::Env env, const std::vector<MemoryRow>& rows) {
  Napi::Array list = Napi::Array::New(env);
  for (const MemoryRow& row : rows) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("arena", row.arena);
    object.Set("bytes", static_cast<double>(row.bytes));
    object.Set("shared", row.shared);
    list.Set(list.Length(), object);
  }
  return list;
}

Napi::Value to_js(Napi::Env env, const Device& device) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", device.name);
  object.Set("description", device.description);
  object.Set("usable", device.usable);
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<Device>& devices) {
  Napi::Array list = Napi::Array::New(env);
  for (const Device& device : devices) list.Set(list.Length(), to_js(env, device));
  return list;
}

Napi::Value to_js(Napi::Env env, const RunResult& result) {
  Napi::Array finished = Napi::Array::New(env);
  for (const FinishedSample& sample : result.finished) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("prompt", sample.prompt);
    object.Set("sample", sample.sample);
    object.Set("tokens", copied(env, sample.tokens));
    object.Set("logps", copied(env, sample.logps));
    object.Set("finishReason", sample.stopped ? "stop" : "length");
    finished.Set(finished.Length(), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("finished", finished);
  object.Set("pending", static_cast<double>(result.pending));
  object.Set("generatedTokens", static_cast<double>(result.generated_tokens));
  return object;
}

}  // namespace selfrefine
