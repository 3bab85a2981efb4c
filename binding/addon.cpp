// The list of exports, nothing else.
#include "classes.h"
#include "ops.h"

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* data = new selfrefine::AddonData;
  env.SetInstanceData(data);
  const Napi::Function model = selfrefine::ModelObject::define(env);
  data->model = Napi::Persistent(model);
  exports.Set("Model", model);
  exports.Set("Trainer", selfrefine::TrainerObject::define(env));
  exports.Set("Sampler", selfrefine::SamplerObject::define(env));
  exports.Set("devices", Napi::Function::New<selfrefine::devices>(env, "devices"));
  exports.Set("autoDevice", Napi::Function::New<selfrefine::auto_device>(env, "autoDevice"));
  exports.Set("plan", Napi::Function::New<selfrefine::plan>(env, "plan"));
  exports.Set("availableBytes", Napi::Function::New<selfrefine::available_bytes_of>(env, "availableBytes"));
  exports.Set("ops", selfrefine::make_ops(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(selfrefine, initialize)
