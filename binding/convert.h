// JavaScript values to structs of the engine. Every field is checked; a message names the object and the field, what
// it is and what it may be. It does NOT know what the fields are for: the engine checks that.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "engine/devices.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "engine/sampler.h"
#include "engine/trainer.h"
#include "napi_setup.h"

namespace selfrefine {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

/// A value with the name it has in messages.
struct Argument {
  Napi::Value value;
  std::string name;

  /// "ModelConfig.headDim is "x", expected ..."
  [[noreturn]] void reject(const std::string& wanted) const;

  double number() const;
  int64_t integer(int64_t least = -kMaxSafeInteger, int64_t most = kMaxSafeInteger) const;
  bool boolean() const;
  std::string text() const;
  /// Nothing for null or undefined.
  std::optional<Argument> optional() const;
  /// The field of an object.
  Argument field(const char* name) const;
  std::vector<Argument> list() const;
  /// A bigint or a number, as 64 bits.
  uint64_t seed() const;
  /// Bytes of a Uint8Array, elements of an Int32Array.
  std::string bytes() const;
  std::vector<int32_t> int32s() const;
};

ModelConfig to_model_config(const Argument& argument);
ModelOptions to_model_options(const Argument& argument);
std::vector<TensorEntry> to_tensor_entries(const Argument& argument);
TrainerCapacity to_trainer_capacity(const Argument& argument);
BatchSize to_batch_size(const Argument& argument);
PreferenceOptions to_preference_options(const Argument& argument);
UpdateOptions to_update_options(const Argument& argument);
SamplerCapacity to_sampler_capacity(const Argument& argument);
GenerationOptions to_generation_options(const Argument& argument);
PlannedWork to_planned_work(const Argument& argument);

/// memory() of any object.
Napi::Value to_js(Napi::Env env, const std::vector<MemoryRow>& rows);
Napi::Value to_js(Napi::Env env, const RunResult& result);
Napi::Value to_js(Napi::Env env, const Device& device);
Napi::Value to_js(Napi::Env env, const std::vector<Device>& devices);

}  // namespace selfrefine
