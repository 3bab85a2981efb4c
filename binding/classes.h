// The wrapped classes, for addon.cpp and for each other.
#pragma once

#include "wrapped.h"

namespace selfrefine {

class ModelObject final : public Wrapped<ModelObject, Model> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelObject(const Napi::CallbackInfo& info);

  /// The object behind an argument; throws ERR_INVALID_ARGUMENT unless it is a Model of this addon.
  static ModelObject& from(const Argument& argument);

 private:
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value adapter_parameters(const Napi::CallbackInfo& info);
  Napi::Value description(const Napi::CallbackInfo& info);
  Napi::Value parameter_view(const Napi::CallbackInfo& info);
  void sync(const Napi::CallbackInfo& info);
  Napi::Value initialize(const Napi::CallbackInfo& info);
  Napi::Value initialize_adapter(const Napi::CallbackInfo& info);
  void use_adapter(const Napi::CallbackInfo& info);
  Napi::Value merge(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value copy_from(const Napi::CallbackInfo& info);
  Napi::Value fingerprint(const Napi::CallbackInfo& info);
  Napi::Value available_bytes(const Napi::CallbackInfo& info);
};

class TrainerObject final : public Wrapped<TrainerObject, Trainer> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit TrainerObject(const Napi::CallbackInfo& info);

 private:
  /// The trainer with the batch that its buffers hold now, so that they may be filled again while it works. After the
  /// arguments are converted: reading them may run JavaScript, and that may start other work or dispose of this object.
  std::shared_ptr<Trainer> staged(const char* what, const BatchSize& size) const;
  Napi::Value buffers(const Napi::CallbackInfo& info);
  Napi::Value logps(const Napi::CallbackInfo& info);
  Napi::Value sft_step(const Napi::CallbackInfo& info);
  Napi::Value dpo_step(const Napi::CallbackInfo& info);
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value gradient_view(const Napi::CallbackInfo& info);
  Napi::Value reset(const Napi::CallbackInfo& info);
  Napi::Value write_state(const Napi::CallbackInfo& info);
  Napi::Value read_state(const Napi::CallbackInfo& info);
  Napi::Value state_arenas(const Napi::CallbackInfo& info);
};

class SamplerObject final : public Wrapped<SamplerObject, Sampler> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit SamplerObject(const Napi::CallbackInfo& info);

 private:
  void set_token_bytes(const Napi::CallbackInfo& info);
  void begin(const Napi::CallbackInfo& info);
  void submit(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  void end(const Napi::CallbackInfo& info);
};

/// [{name, description, usable}] of what this build can compute on, the fastest first.
Napi::Value devices(const Napi::CallbackInfo& info);
/// The same of the device that "auto" stands for, with the reason as description.
Napi::Value auto_device(const Napi::CallbackInfo& info);
/// plan(config, options, work) -> the rows of memory() that a piece of work would have.
Napi::Value plan(const Napi::CallbackInfo& info);
/// availableBytes(device)
Napi::Value available_bytes_of(const Napi::CallbackInfo& info);

}  // namespace selfrefine
